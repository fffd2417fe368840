// Package auth authenticates requests by API keys. Package oidc below it does so by the tokens of an OpenID Connect
// provider.
//
// In: a request. Out: its caller, with a tenant and scopes, or an UnauthenticatedError. The package never decides what
// a caller may do.
package auth

import "strings"

// UnauthenticatedError means that a request has no valid credentials.
type UnauthenticatedError struct {
	// Reason is for the caller: it says what to do, and nothing that a stranger could use.
	Reason string
	// CredentialsPresent tells invalid credentials from missing ones.
	CredentialsPresent bool
}

func (e *UnauthenticatedError) Error() string { return "unauthenticated: " + e.Reason }

// BearerToken returns the token of an Authorization header; empty if it has none.
func BearerToken(authorization string) string {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
