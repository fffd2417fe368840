package tenant

// ScopeOperator allows the operator's operations, which concern the installation and all tenants. Only the
// configuration gives it: no API key and no list of scopes in a token can have it, so it is not among AllScopes.
const ScopeOperator Scope = "operator"

// Operator returns the operator as a caller. The operator is not a tenant and has no other scope, so no operation on
// data of tenants accepts it.
func Operator(subject string) Caller {
	return Caller{Subject: subject, Scopes: []Scope{ScopeOperator}}
}
