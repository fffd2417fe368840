package store

import (
	"fmt"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// This file lists every stored document. Each is a Go struct, whose tags are the names of the fields.
//
//	tenants/{tenant}/agents/{id}                               agent.Agent
//	tenants/{tenant}/apiKeys/{id}                              apikey.Key
//	tenants/{tenant}/batches/{id}                              batch.Batch
//	tenants/{tenant}/batches/{id}/inputs/{index of the first}  inputChunk
//	tenants/{tenant}/conversations/{id}                        conversation.Conversation
//	tenants/{tenant}/conversations/{id}/messages/{turn}-{role} conversation.Message
//	tenants/{tenant}/conversations/{id}/transcripts/newest        execution.Transcript
//	tenants/{tenant}/deliveries/{id}                           webhook.Delivery
//	tenants/{tenant}/executions/{id}                           execution.Execution
//	tenants/{tenant}/executions/{id}/inputFiles/files          inputFilesDocument
//	tenants/{tenant}/idempotencyRecords/{hash of the key}      IdempotencyRecord
//	tenants/{tenant}/secrets/webhooks                          webhook.Secrets
//	tenants/{tenant}/uploads/{batch}                           upload
//	system/clock                                               never written; read for Firestore's time
//	system/janitor                                             leadership
//
// Contents in blob storage belong to package blob.

// Names of collections.
const (
	agents             = "agents"
	apiKeys            = "apiKeys"
	batches            = "batches"
	conversations      = "conversations"
	deliveries         = "deliveries"
	executions         = "executions"
	idempotencyRecords = "idempotencyRecords"
	inputFiles         = "inputFiles"
	inputs             = "inputs"
	messages           = "messages"
	secrets            = "secrets"
	transcripts        = "transcripts"
	uploads            = "uploads"
)

// resourceNames says for people what a document of a collection is.
var resourceNames = map[string]string{
	agents: "agent", apiKeys: "API key", batches: "batch", conversations: "conversation", deliveries: "delivery", executions: "execution",
}

func (s *Store) collection(tenant, name string) *firestore.CollectionRef {
	return s.client.Collection("tenants").Doc(tenant).Collection(name)
}

func (s *Store) agentDoc(tenant, agentID string) *firestore.DocumentRef {
	return s.collection(tenant, agents).Doc(agentID)
}

func (s *Store) apiKeyDoc(tenant, keyID string) *firestore.DocumentRef {
	return s.collection(tenant, apiKeys).Doc(keyID)
}

func (s *Store) batchDoc(ref batch.Ref) *firestore.DocumentRef {
	return s.collection(ref.Tenant, batches).Doc(ref.ID)
}

func (s *Store) inputChunks(ref batch.Ref) *firestore.CollectionRef {
	return s.batchDoc(ref).Collection(inputs)
}

func (s *Store) uploadDoc(ref batch.Ref) *firestore.DocumentRef {
	return s.collection(ref.Tenant, uploads).Doc(ref.ID)
}

func (s *Store) conversationDoc(tenant, conversationID string) *firestore.DocumentRef {
	return s.collection(tenant, conversations).Doc(conversationID)
}

func (s *Store) messages(tenant, conversationID string) *firestore.CollectionRef {
	return s.conversationDoc(tenant, conversationID).Collection(messages)
}

func (s *Store) messageDoc(c *conversation.Conversation, m conversation.Message) *firestore.DocumentRef {
	return s.messages(c.Tenant, c.ID).Doc(fmt.Sprintf("%06d-%s", m.Turn, m.Role))
}

// transcriptDoc is not part of the conversation's document, because lists read the latter.
func (s *Store) transcriptDoc(tenant, conversationID string) *firestore.DocumentRef {
	return s.conversationDoc(tenant, conversationID).Collection(transcripts).Doc("newest")
}

func (s *Store) deliveryDoc(ref webhook.Ref) *firestore.DocumentRef {
	return s.collection(ref.Tenant, deliveries).Doc(ref.ID)
}

func (s *Store) webhookSecretsDoc(tenant string) *firestore.DocumentRef {
	return s.collection(tenant, secrets).Doc("webhooks")
}

func (s *Store) executionDoc(ref execution.Ref) *firestore.DocumentRef {
	return s.collection(ref.Tenant, executions).Doc(ref.ID)
}

// inputFilesDoc is not part of the execution's document, because every heartbeat reads the latter.
func (s *Store) inputFilesDoc(ref execution.Ref) *firestore.DocumentRef {
	return s.executionDoc(ref).Collection(inputFiles).Doc("files")
}

func (s *Store) clockDoc() *firestore.DocumentRef { return s.client.Collection("system").Doc("clock") }

func (s *Store) leadershipDoc() *firestore.DocumentRef {
	return s.client.Collection("system").Doc("janitor")
}
