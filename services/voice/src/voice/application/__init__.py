"""The uses of this service: dialing, settlement, hang-up, speech, greetings, turns."""
