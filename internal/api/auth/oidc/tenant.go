package oidc

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// hashed begins the tenants that are named by a hash.
const hashedTenantPrefix = "oidc-"

// tenantOfClaim names the tenant of a claim: by the claim itself where that can be a
// tenant's name, else by its hash. A claim that looks like a hash is hashed as
// well, so that no two claims ever name one tenant.
func tenantOfClaim(claim string) string {
	if tenant.ValidName(claim) && !strings.HasPrefix(claim, hashedTenantPrefix) {
		return claim
	}
	sum := sha256.Sum256([]byte(claim))
	return hashedTenantPrefix + hex.EncodeToString(sum[:])
}
