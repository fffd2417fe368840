package oidc

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// hashedTenantPrefix is the prefix of tenants whose name is a hash.
const hashedTenantPrefix = "oidc-"

// tenantOfClaim returns the name of the tenant of a claim: the claim itself if it is a valid name, else its hash. A
// claim that looks like a hash is hashed as well, so two claims never name the same tenant.
func tenantOfClaim(claim string) string {
	if tenant.ValidName(claim) && !strings.HasPrefix(claim, hashedTenantPrefix) {
		return claim
	}
	sum := sha256.Sum256([]byte(claim))
	return hashedTenantPrefix + hex.EncodeToString(sum[:])
}
