"""The whole system on one machine: servers, services and simulators as processes."""
