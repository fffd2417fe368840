// Package tenant defines the caller of the API: the tenant, and the scopes that the caller has.
//
// It also holds the rule for names of tenants. It never authenticates anybody: that is api/auth.
package tenant

import (
	"regexp"
	"slices"
)

// namePattern keeps the name of a tenant usable as a Firestore document ID.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$`)

// NameRule describes in messages what ValidName accepts.
const NameRule = "1 to 128 characters: letters, digits and . _ @ + -, beginning with a letter or a digit"

// ValidName reports whether a tenant may have this name.
func ValidName(name string) bool { return namePattern.MatchString(name) }

// Scope is a part of the API that a caller may use. The contract names the scope of each operation.
type Scope string

// The scopes.
const (
	ScopeRead   Scope = "read"   // read everything of the tenant, except its API keys
	ScopeRun    Scope = "run"    // start, cancel, retry and delete work
	ScopeAgents Scope = "agents" // create, change and delete agents
	ScopeKeys   Scope = "keys"   // issue, list and revoke API keys
)

// AllScopes holds every scope in the order in which they are shown.
var AllScopes = []Scope{ScopeRead, ScopeRun, ScopeAgents, ScopeKeys}

// ValidScopes reports whether all of these scopes exist.
func ValidScopes(scopes ...Scope) bool {
	return len(Caller{Scopes: AllScopes}.MissingScopes(scopes...)) == 0
}

// Caller is an authenticated caller of the API.
type Caller struct {
	Tenant string
	// Subject identifies the caller within the tenant, for the audit log: the ID of an API key, or the subject of a
	// token. It is empty if the API runs without authentication.
	Subject string
	Scopes  []Scope
}

// MissingScopes returns those of the scopes that the caller does not have.
func (c Caller) MissingScopes(scopes ...Scope) []Scope {
	return slices.DeleteFunc(slices.Clone(scopes), func(s Scope) bool { return slices.Contains(c.Scopes, s) })
}
