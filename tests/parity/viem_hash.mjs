// The independent side of the parity tests: what viem makes of typed data.
//
// stdin:  {"key": <private key of a test account>,
//          "items": [{"typedData": <JSON of eth_signTypedData_v4>, "signature": <optional, 64 or 65 bytes>}, ...],
//          "addresses": [[<address>, ...], ...]}
// stdout: {"items": [{"structHash", "digest", "signature": <by key>, "recovered": <from the given signature>}, ...],
//          "attestorsHashes": [...]}
import { readFileSync } from "node:fs";
import {
  compactSignatureToSignature,
  encodeAbiParameters,
  hashStruct,
  hashTypedData,
  keccak256,
  parseCompactSignature,
  recoverTypedDataAddress,
  serializeSignature,
  size,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";

const { key, items, addresses } = JSON.parse(readFileSync(0, "utf8"));
const account = privateKeyToAccount(key);

/** JSON has integers as decimal text. */
function revive({ domain, types, primaryType, message }) {
  const values = types[primaryType].map(({ name, type }) => [
    name,
    type.startsWith("uint") ? BigInt(message[name]) : message[name],
  ]);
  return { domain, types, primaryType, message: Object.fromEntries(values) };
}

/** viem recovers from 65 bytes; it has its own reading of the 64 of EIP-2098. */
function expand(signature) {
  if (size(signature) === 65) return signature;
  return serializeSignature(compactSignatureToSignature(parseCompactSignature(signature)));
}

async function recovered(data, signature) {
  return signature && (await recoverTypedDataAddress({ ...data, signature: expand(signature) }));
}

async function answer({ typedData, signature }) {
  const data = revive(typedData);
  return {
    structHash: hashStruct({ data: data.message, primaryType: data.primaryType, types: data.types }),
    digest: hashTypedData(data),
    signature: await account.signTypedData(data),
    recovered: await recovered(data, signature),
  };
}

const attestorsHashes = addresses.map((set) => keccak256(encodeAbiParameters([{ type: "address[]" }], [set])));
process.stdout.write(JSON.stringify({ items: await Promise.all(items.map(answer)), attestorsHashes }));
