// Package contract is the HTTP contract: the OpenAPI document, and the types
// and the router that are generated from it.
package contract

import _ "embed"

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml openapi.yaml

// Document is the OpenAPI document in YAML, as it is written.
//
//go:embed openapi.yaml
var Document []byte
