"""The gateways that send money, one module each, behind ``domain.payouts.gateway.Gateway``."""
