// Package contract is the HTTP contract of the API.
//
// In: openapi.yaml, which is the source of everything here. Out: the types and the router that are generated from it
// (contract.gen.go), the document in JSON (document.go), and checks of requests and responses against it
// (operation.go). It never handles a request.
package contract

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml openapi.yaml
