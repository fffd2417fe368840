package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

const (
	// loadSessionTimeout bounds the download of an agent session. Then the attempt ends, and another one begins later.
	loadSessionTimeout = 20 * time.Second
	// storeSessionTimeout bounds the upload of an agent session. Then the turn ends without it: the next one begins with
	// the session before it and the messages since. It is short, because a canceled turn waits for it too.
	storeSessionTimeout = 10 * time.Second
)

// loadConversation reads the messages and the agent session of the turn's conversation. A conversation that was deleted
// has neither.
func (a *attempt) loadConversation(ctx context.Context) error {
	e, tasks := a.execution, a.executor.config.Tasks
	messages, err := tasks.Messages(ctx, e.Tenant, e.ConversationID, e.Turn, conversation.MaxHistory)
	if err != nil {
		return err
	}
	e.Task.History = conversation.History(messages)
	c, err := tasks.Conversation(ctx, e.Tenant, e.ConversationID)
	if _, notFound := errors.AsType[*store.NotFoundError](err); notFound {
		return nil
	}
	if err != nil {
		return err
	}
	e.Task.Workspace = c.Workspace
	if a.stored = c.Session; a.stored == nil || c.SessionRejected {
		return nil
	}
	e.Task.Session = a.stored
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadSessionTimeout)
	defer cancel()
	e.Task.SessionData, err = a.downloadSession(ctx, c.Session)
	if errors.Is(err, blob.ErrLost) {
		a.log.Error("the agent session of the conversation is lost; the agent gets the messages", zap.Error(err))
		return nil
	}
	return err
}

// downloadSession returns the content of an agent session, or blob.ErrLost if it does not exist or has changed.
func (a *attempt) downloadSession(ctx context.Context, s *execution.AgentSession) ([]byte, error) {
	r, err := a.executor.config.Artifacts.Get(ctx, blob.SessionKey(a.execution.Tenant, s), s.Content)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	compressed, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return decompress(compressed, s.Size)
}

// storeSession uploads the session that the agent left, and describes it in a.ending. The ending is written afterwards,
// so a conversation never has a session without a content.
func (a *attempt) storeSession(ctx context.Context) {
	if a.execution.ConversationID == "" {
		return
	}
	session, data := a.run.ExtractSession(a.outcome)
	if session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeSessionTimeout)
	defer cancel()
	session.ExecutionID, session.Attempt, session.Turn = a.execution.ID, a.execution.Attempt, a.execution.Turn
	compressed, err := compress(data)
	if err == nil {
		session.Content, err = a.upload(ctx, blob.SessionKey(a.execution.Tenant, session), bytes.NewReader(compressed))
	}
	if err != nil {
		a.log.Error("could not store the agent session; the next turn begins with the one before", zap.Error(err))
		return
	}
	a.ending.NewSession = session
}

// deleteUnusedSession deletes the content of the session to which the conversation refers no more, or of the one to
// which it never will. If that fails, it is deleted together with its execution.
func (a *attempt) deleteUnusedSession(ctx context.Context, ch execution.Change) {
	unused := a.stored
	switch {
	case a.ending.NewSession == nil:
		return
	case ch.Execution.NewSession == nil: // another attempt follows, or the conversation was deleted
		unused = a.ending.NewSession
	case unused == nil:
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := a.executor.config.Artifacts.DeleteContent(ctx, blob.SessionKey(a.execution.Tenant, unused)); err != nil {
		a.log.Warn("could not delete an agent session that is not used any more", zap.Error(err))
	}
}

func compress(data []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return w.EncodeAll(data, nil), nil
}

// decompress returns size bytes. The error is blob.ErrLost if the content has another size.
func decompress(compressed []byte, size int64) ([]byte, error) {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(execution.MaxAgentSessionBytes))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := r.DecodeAll(compressed, make([]byte, 0, min(size, execution.MaxAgentSessionBytes)))
	if err != nil || int64(len(data)) != size {
		return nil, fmt.Errorf("%w: not the %d bytes of an agent session: %w", blob.ErrLost, size, err)
	}
	return data, nil
}
