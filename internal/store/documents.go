package store

import (
	"fmt"
	"strconv"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// This file lists every stored document. Each is a Go struct, whose tags are the names of the fields.
//
//	tenants/{tenant}                                           tenant.Tenant
//	tenants/{tenant}/agents/{id}                               agent.Agent, without its settings
//	tenants/{tenant}/agents/{id}/versions/{number}             agent.Version
//	tenants/{tenant}/apiKeys/{id}                              apikey.Key
//	tenants/{tenant}/budgetWarnings/{day}-{level}-{limit}-{agent} usage.Warning
//	tenants/{tenant}/batches/{id}                              batch.Batch
//	tenants/{tenant}/batches/{id}/inputs/{index of the first}  inputChunk
//	tenants/{tenant}/conversations/{id}                        conversation.Conversation
//	tenants/{tenant}/conversations/{id}/messages/{turn}-{role} conversation.Message
//	tenants/{tenant}/deletedAgents/{id}                        deletion
//	tenants/{tenant}/deletedEnvironments/{id}                  deletion
//	tenants/{tenant}/deliveries/{id}                           webhook.Delivery
//	tenants/{tenant}/environments/{id}                         environment.Environment
//	tenants/{tenant}/environments/{id}/versions/{number}       environment.Version
//	tenants/{tenant}/executions/{id}                           execution.Execution
//	tenants/{tenant}/executions/{id}/inputFiles/files          inputFilesDocument
//	tenants/{tenant}/files/{id}                                file.File
//	tenants/{tenant}/discardedFiles/{id}                       file.Discarded
//	tenants/{tenant}/idempotencyRecords/{hash of the key}      IdempotencyRecord
//	tenants/{tenant}/secrets/webhooks                          webhook.Secrets
//	tenants/{tenant}/labelUsage/{day}.{part}                   usage.Part
//	tenants/{tenant}/uploads/{batch or file}                   upload
//	inboxes/{process}/items/{id}                               signal.Signal
//	sessions/{id}                                              fleet.Session
//	tenants/{tenant}/usage/{day}.{part}                        usage.Part
//	usageWriters/{session}                                     usageWriterDocument
//	system/clock                                               never written; read for Firestore's time
//	system/fleet                                               fleet.Fleet
//
// Contents in blob storage belong to package blob.

// Names of collections.
const (
	agents              = "agents"
	apiKeys             = "apiKeys"
	batches             = "batches"
	budgetWarnings      = "budgetWarnings"
	conversations       = "conversations"
	deletedAgents       = "deletedAgents"
	deletedEnvironments = "deletedEnvironments"
	deliveries          = "deliveries"
	discardedFiles      = "discardedFiles"
	environments        = "environments"
	executions          = "executions"
	files               = "files"
	idempotencyRecords  = "idempotencyRecords"
	inputFiles          = "inputFiles"
	inboxItems          = "items"
	inputs              = "inputs"
	labelUsageParts     = "labelUsage"
	messages            = "messages"
	secrets             = "secrets"
	sessionsCollection  = "sessions"
	uploads             = "uploads"
	usageParts          = "usage"
	usageWriters        = "usageWriters"
	versions            = "versions" // of agents and of environments
)

// resourceNames says for people what a document of a collection is. See resourceName for versions.
var resourceNames = map[string]string{
	agents: "agent", apiKeys: "API key", batches: "batch", conversations: "conversation", deliveries: "delivery", environments: "environment",
	executions: "execution", files: "file",
}

func (s *Store) tenantDoc(tenant string) *firestore.DocumentRef {
	return s.client.Collection("tenants").Doc(tenant)
}

func (s *Store) collection(tenant, name string) *firestore.CollectionRef {
	return s.tenantDoc(tenant).Collection(name)
}

func (s *Store) agentDoc(tenant, agentID string) *firestore.DocumentRef {
	return s.collection(tenant, agents).Doc(agentID)
}

func (s *Store) agentVersions(tenant, agentID string) *firestore.CollectionRef {
	return s.agentDoc(tenant, agentID).Collection(versions)
}

func (s *Store) agentVersionDoc(tenant, agentID string, version int) *firestore.DocumentRef {
	return s.agentVersions(tenant, agentID).Doc(strconv.Itoa(version))
}

func (s *Store) deletedAgentDoc(tenant, agentID string) *firestore.DocumentRef {
	return s.collection(tenant, deletedAgents).Doc(agentID)
}

func (s *Store) environmentDoc(tenant, environmentID string) *firestore.DocumentRef {
	return s.collection(tenant, environments).Doc(environmentID)
}

func (s *Store) environmentVersions(tenant, environmentID string) *firestore.CollectionRef {
	return s.environmentDoc(tenant, environmentID).Collection(versions)
}

func (s *Store) environmentVersionDoc(tenant, environmentID string, version int) *firestore.DocumentRef {
	return s.environmentVersions(tenant, environmentID).Doc(strconv.Itoa(version))
}

func (s *Store) deletedEnvironmentDoc(tenant, environmentID string) *firestore.DocumentRef {
	return s.collection(tenant, deletedEnvironments).Doc(environmentID)
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

// uploadDoc marks the upload of a batch or a file.
func (s *Store) uploadDoc(tenant, uploadID string) *firestore.DocumentRef {
	return s.collection(tenant, uploads).Doc(uploadID)
}

func (s *Store) fileDoc(tenant, fileID string) *firestore.DocumentRef {
	return s.collection(tenant, files).Doc(fileID)
}

func (s *Store) discardedFileDoc(tenant, fileID string) *firestore.DocumentRef {
	return s.collection(tenant, discardedFiles).Doc(fileID)
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

func (s *Store) deliveryDoc(ref webhook.Ref) *firestore.DocumentRef {
	return s.collection(ref.Tenant, deliveries).Doc(ref.ID)
}

func (s *Store) webhookSecretsDoc(tenant string) *firestore.DocumentRef {
	return s.collection(tenant, secrets).Doc("webhooks")
}

func (s *Store) executionDoc(ref execution.Ref) *firestore.DocumentRef {
	return s.collection(ref.Tenant, executions).Doc(ref.ID)
}

// inputFilesDoc is not part of the execution's document, because every change reads the latter.
func (s *Store) inputFilesDoc(ref execution.Ref) *firestore.DocumentRef {
	return s.executionDoc(ref).Collection(inputFiles).Doc("files")
}

func (s *Store) inboxItems(process string) *firestore.CollectionRef {
	return s.client.Collection("inboxes").Doc(process).Collection(inboxItems)
}

func (s *Store) sessionDoc(sessionID string) *firestore.DocumentRef {
	return s.client.Collection(sessionsCollection).Doc(sessionID)
}

func (s *Store) fleetDoc() *firestore.DocumentRef { return s.client.Collection("system").Doc("fleet") }

func (s *Store) usageWriterDoc(writer string) *firestore.DocumentRef {
	return s.client.Collection(usageWriters).Doc(writer)
}

func (s *Store) clockDoc() *firestore.DocumentRef { return s.client.Collection("system").Doc("clock") }
