"""The wire format of the telephone provider, shared by the services that dial and that receive its webhooks.

The modules beside `twilio` are provider-neutral: webhook and media URLs, instructions, dial failures, the interface of
a provider. `twilio` translates between them and Twilio, and is the only module here that imports Twilio's SDK.
"""
