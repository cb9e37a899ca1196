"""Ways to run a job apart from the gateway; `molt_market.agent.ports.Runner` says what each has to do."""
