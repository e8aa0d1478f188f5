"""Authentication: verifying access tokens, requiring roles and scopes, signing tokens."""

from chassis.auth.principal import Principal, authenticated, optional_principal, require_role, require_scope
from chassis.auth.signer import Signer
from chassis.auth.tokens import InvalidTokenError, TokenVerifier

__all__ = [
    "InvalidTokenError",
    "Principal",
    "Signer",
    "TokenVerifier",
    "authenticated",
    "optional_principal",
    "require_role",
    "require_scope",
]
