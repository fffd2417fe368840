// Package auth finds out who makes a request: by API keys, or, in package oidc,
// by the tokens of an OpenID Connect provider.
package auth

import "strings"

// UnauthenticatedError means that a request does not show who makes it.
type UnauthenticatedError struct {
	// Why is for the caller: it says how to mend it, and nothing that a
	// stranger could use.
	Reason string
	// Given tells wrong credentials from none.
	CredentialsPresent bool
}

func (e *UnauthenticatedError) Error() string { return "unauthenticated: " + e.Reason }

// Bearer returns the token of an Authorization header; "" where there is none.
func BearerToken(authorization string) string {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
