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
func below(name string) string {
	_, path, _ := strings.Cut(name, "/documents/")
	return path
}

// decode reads of a document what is judged.
func decode(d *pb.Document) Version {
	v := Version{Path: below(d.Name), At: d.UpdateTime.AsTime(), Content: fingerprint(d)}
	segments := strings.Split(v.Path, "/")
	f := fields(d.Fields)
	switch segments[len(segments)-2] {
	case "executions":
		v.Execution = f.execution()
	case "conversations":
		v.Conversation = f.conversation()
	case "messages":
		v.Message = &conversation.Message{
			Turn: f.number("turn"), Role: execution.Role(f.text("role")), Text: f.text("text"), ExecutionID: f.text("executionId"),
		}
	case "batches":
		v.Batch = &batch.Batch{
			ID: f.text("id"), Total: f.number("total"), Window: f.number("window"), Next: f.number("next"),
			CancelRequested: f["cancelRequested"].GetBooleanValue(), Due: f.time("due"), FinishedAt: f.time("finishedAt"),
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

func (f fields) text(name string) string { return f[name].GetStringValue() }

func (f fields) number(name string) int { return int(f[name].GetIntegerValue()) }

func (f fields) time(name string) *time.Time {
	if f[name].GetTimestampValue() == nil {
		return nil
	}
	t := f[name].GetTimestampValue().AsTime()
	return &t
}

// of is a map within the document; nil where there is none.
func (f fields) of(name string) fields { return f[name].GetMapValue().GetFields() }

func (f fields) execution() *execution.Execution {
	e := &execution.Execution{
		ID: f.text("id"), Owner: f.text("owner"), Kind: execution.Kind(f.text("kind")), Lane: execution.Lane(f.text("lane")), Status: execution.Status(f.text("status")),
		ConversationID: f.text("conversationId"), Turn: f.number("turn"), BatchID: f.text("batchId"), RetryOf: f.text("retryOf"),
		Attempt: f.number("attempt"), Spent: f.number("spent"), MaxAttempts: f.number("maxAttempts"),
		CancelRequested: f["cancelRequested"].GetBooleanValue(), Receipt: f.text("receipt"),
		Due: f.time("due"), StartedAt: f.time("startedAt"), FinishedAt: f.time("finishedAt"),
	}
	if lease := f.of("lease"); lease != nil {
		e.Lease = &execution.Lease{Executor: lease.text("executor")}
		if expires := lease.time("expires"); expires != nil {
			e.Lease.Expires = *expires
		}
	}
	if result := f.of("result"); result != nil {
		e.Result = &execution.Result{Text: result.text("text")}
	}
	if failure := f.of("error"); failure != nil {
		e.Failure = &execution.Failure{Code: execution.Code(failure.text("code"))}
	}
	return e
}

func (f fields) conversation() *conversation.Conversation {
	c := &conversation.Conversation{ID: f.text("id"), Turns: f.number("turns")}
	for _, id := range f["pending"].GetArrayValue().GetValues() {
		c.Pending = append(c.Pending, id.GetStringValue())
	}
	return c
}
