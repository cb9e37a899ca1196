"""What goes over the wire between the server and its SDK: requests, answers, problems."""
