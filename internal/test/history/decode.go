package history

import (
	"crypto/sha256"
	"strings"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// below is a document's path without the database.
func documentPath(name string) string {
	_, path, _ := strings.Cut(name, "/documents/")
	return path
}

// decode reads of a document what is judged.
func decode(d *pb.Document) Version {
	v := Version{Path: documentPath(d.Name), At: d.UpdateTime.AsTime(), Content: fingerprint(d)}
	segments := strings.Split(v.Path, "/")
	f := fields(d.Fields)
	switch segments[len(segments)-2] {
	case "executions":
		v.Execution = f.execution()
	case "conversations":
		v.Conversation = f.conversation()
	case "messages":
		v.Message = &conversation.Message{
			Turn: f.intField("turn"), Role: execution.Role(f.stringField("role")), Text: f.stringField("text"), ExecutionID: f.stringField("executionId"),
		}
	case "batches":
		v.Batch = &batch.Batch{
			ID: f.stringField("id"), Total: f.intField("total"), Window: f.intField("window"), NextInput: f.intField("nextInput"),
			CancelRequested: f["cancelRequested"].GetBooleanValue(), Due: f.timeField("due"), FinishedAt: f.timeField("finishedAt"),
		}
	}
	return v
}

func fingerprint(d *pb.Document) string {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.Document{Fields: d.Fields})
	if err != nil {
		return "" // of what was just unmarshalled
	}
	sum := sha256.Sum256(data)
	return string(sum[:])
}

// fields of a document; what is not there reads as zero.
type fields map[string]*pb.Value

func (f fields) stringField(name string) string { return f[name].GetStringValue() }

func (f fields) intField(name string) int { return int(f[name].GetIntegerValue()) }

func (f fields) timeField(name string) *time.Time {
	if f[name].GetTimestampValue() == nil {
		return nil
	}
	t := f[name].GetTimestampValue().AsTime()
	return &t
}

// of is a map within the document; nil where there is none.
func (f fields) mapField(name string) fields { return f[name].GetMapValue().GetFields() }

func (f fields) execution() *execution.Execution {
	e := &execution.Execution{
		ID: f.stringField("id"), Tenant: f.stringField("tenant"), Kind: execution.Kind(f.stringField("kind")), Lane: execution.Lane(f.stringField("lane")), Status: execution.Status(f.stringField("status")),
		ConversationID: f.stringField("conversationId"), Turn: f.intField("turn"), BatchID: f.stringField("batchId"), RetryOf: f.stringField("retryOf"),
		Attempt: f.intField("attempt"), FailedAttempts: f.intField("failedAttempts"), MaxAttempts: f.intField("maxAttempts"),
		CancelRequested: f["cancelRequested"].GetBooleanValue(), Receipt: f.stringField("receipt"),
		Due: f.timeField("due"), StartedAt: f.timeField("startedAt"), FinishedAt: f.timeField("finishedAt"),
	}
	if lease := f.mapField("lease"); lease != nil {
		e.Lease = &execution.Lease{Executor: lease.stringField("executor")}
		if expires := lease.timeField("expires"); expires != nil {
			e.Lease.Expires = *expires
		}
	}
	if result := f.mapField("result"); result != nil {
		e.Result = &execution.Result{Text: result.stringField("text")}
	}
	if failure := f.mapField("error"); failure != nil {
		e.Failure = &execution.Failure{Code: execution.Code(failure.stringField("code"))}
	}
	return e
}

func (f fields) conversation() *conversation.Conversation {
	c := &conversation.Conversation{ID: f.stringField("id"), Turns: f.intField("turns")}
	for _, id := range f["pending"].GetArrayValue().GetValues() {
		c.Pending = append(c.Pending, id.GetStringValue())
	}
	return c
}
