"""The CDK app: one stack, composed of constructs by logical unit."""
