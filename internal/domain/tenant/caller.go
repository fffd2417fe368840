// Package tenant says who calls the API and what they may do there. How that
// is found out is the business of others.
package tenant

import (
	"regexp"
	"slices"
)

// Scope is a part of the API that a caller may use. The contract says which
// operation takes which.
type Scope string

// The scopes there are.
const (
	ScopeRead   Scope = "read"   // look at everything of the tenant, but for its keys
	ScopeRun    Scope = "run"    // start, cancel, repeat and remove work
	ScopeAgents Scope = "agents" // create, change and remove agents
	ScopeKeys   Scope = "keys"   // issue, list and revoke keys
)

// All is every scope, in the order in which they are shown.
var AllScopes = []Scope{ScopeRead, ScopeRun, ScopeAgents, ScopeKeys}

// Caller is one who is known.
type Caller struct {
	Tenant string
	// Subject says who of the tenant it is, for the audit log: the ID of a key,
	// the subject of a token; empty where nobody asks.
	Subject string
	Scopes  []Scope
}

// Missing returns those of the scopes that the caller does not have.
func (c Caller) MissingScopes(scopes ...Scope) []Scope {
	return slices.DeleteFunc(slices.Clone(scopes), func(s Scope) bool { return slices.Contains(c.Scopes, s) })
}

// tenantForm keeps a tenant usable as a Firestore document ID.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$`)

// TenantForm describes what ValidTenant takes, for messages.
const NameRule = "1 to 128 letters, digits and . _ @ + - are allowed, a letter or digit first"

// ValidTenant reports whether a tenant can have this name.
func ValidName(name string) bool { return namePattern.MatchString(name) }

// Known reports whether these are scopes that there are.
func ValidScopes(scopes ...Scope) bool {
	return len(Caller{Scopes: AllScopes}.MissingScopes(scopes...)) == 0
}
