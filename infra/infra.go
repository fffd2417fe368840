// Package infra holds what is deployed besides the programs.
package infra

import _ "embed" // of the files below

// FirestoreIndexes is the content of firestore.indexes.json: the indexes that Airlock's queries need.
//
//go:embed firestore.indexes.json
var FirestoreIndexes []byte
