package listen

import (
	"context"
	"errors"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

// Stream is one Listen call with its targets. One goroutine uses it.
type Stream struct {
	broadcaster *Broadcaster
	store       *store.Store
	prepare     func(*query.Query) error
	send        Send
	events      *eventQueue
	targets     map[int32]*target
	readTime    document.Time // of the newest commit that was sent
}

// Send sends one response to the client.
type Send func(*pb.ListenResponse) error

// NewStream returns a stream that sends its responses with send. It calls prepare for the query of a target; an error
// removes the target. The caller closes the stream.
func NewStream(b *Broadcaster, s *store.Store, prepare func(*query.Query) error, send Send) *Stream {
	return &Stream{broadcaster: b, store: s, prepare: prepare, send: send, events: newEventQueue(), targets: map[int32]*target{}}
}

// Close removes all subscriptions of the stream.
func (s *Stream) Close() {
	for _, t := range s.targets {
		s.broadcaster.unsubscribe(s.events, t.watchKeys)
	}
}

// Changed receives a token when SendChanges has something to send.
func (s *Stream) Changed() <-chan struct{} { return s.events.ready }

// HandleRequest adds or removes a target.
func (s *Stream) HandleRequest(ctx context.Context, r *pb.ListenRequest) error {
	db, err := name.ParseDatabase(r.GetDatabase())
	if err != nil {
		return err
	}
	switch change := r.GetTargetChange().(type) {
	case *pb.ListenRequest_AddTarget:
		return s.addTarget(ctx, db, change.AddTarget)
	case *pb.ListenRequest_RemoveTarget:
		return s.removeTarget(change.RemoveTarget, nil)
	}
	return status.Error(codes.InvalidArgument, "A listen request neither adds nor removes a target.")
}

func (s *Stream) addTarget(ctx context.Context, db name.Database, r *pb.Target) error {
	if s.targets[r.GetTargetId()] != nil {
		return status.Errorf(codes.InvalidArgument, "Target %d exists already.", r.GetTargetId())
	}
	t, err := parseTarget(db, r)
	if err == nil && t.query != nil {
		err = s.prepare(t.query)
	}
	if err != nil {
		if status.Code(err) == codes.Unknown {
			return err
		}
		return s.sendTargetRemove(r.GetTargetId(), err)
	}
	// Subscribe before reading, so that no commit is missed. sendEvent skips the commits that were already read.
	s.broadcaster.subscribe(s.events, t.watchKeys)
	s.targets[t.id] = t
	if err := s.send(targetChange(pb.TargetChange_ADD, 0, t.id)); err != nil {
		return err
	}
	if err := s.sendInitialState(ctx, t); err != nil {
		return err
	}
	if err := s.send(targetChange(pb.TargetChange_CURRENT, t.readTime, t.id)); err != nil {
		return err
	}
	if t.once {
		if err := s.removeTarget(t.id, nil); err != nil {
			return err
		}
	}
	return s.SendChanges(ctx)
}

// sendInitialState sends the difference between what the client has, nothing or the state of its resume token, and now.
func (s *Stream) sendInitialState(ctx context.Context, t *target) error {
	if t.resumeTime != 0 {
		err := s.loadResumeState(t)
		if errors.Is(err, store.ErrTooOld) || errors.Is(err, store.ErrInFuture) {
			t.resumeTime = 0
			err = s.send(targetChange(pb.TargetChange_RESET, 0, t.id))
		}
		if err != nil {
			return err
		}
	}
	if err := s.refresh(ctx, t); err != nil {
		return err
	}
	for _, p := range t.documents { // a client that watches a document expects to learn that it is missing
		if _, ok := t.sentVersions[p.String()]; !ok && t.resumeTime == 0 {
			if err := s.send(documentDelete(p.ResourceName(t.db), t.readTime, t.id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadResumeState finds the documents that the client had at its resume token.
func (s *Stream) loadResumeState(t *target) error {
	sn, err := s.store.SnapshotAt(t.db, t.resumeTime)
	if err != nil {
		return err
	}
	defer sn.Close()
	docs, err := t.read(sn)
	if err != nil {
		return err
	}
	for _, d := range docs {
		t.sentVersions[d.Path.String()] = d.UpdateTime
	}
	return nil
}

// refresh reads all documents of the target again and sends the difference.
func (s *Stream) refresh(ctx context.Context, t *target) error {
	sn, err := s.store.Snapshot(t.db)
	if err != nil {
		return err
	}
	defer sn.Close()
	if err := sn.WaitDurable(ctx); err != nil {
		return err
	}
	docs, err := t.read(sn)
	if err != nil {
		return err
	}
	t.readTime = sn.Time
	removed := t.sentVersions
	t.sentVersions = make(map[string]document.Time, len(docs))
	for _, d := range docs {
		key := d.Path.String()
		before, sent := removed[key]
		delete(removed, key)
		t.sentVersions[key] = d.UpdateTime
		if sent && before == d.UpdateTime {
			continue
		}
		if err := s.send(t.documentChange(d)); err != nil {
			return err
		}
	}
	for key := range removed {
		if err := s.sendDocumentRemoval(t, sn, key); err != nil {
			return err
		}
	}
	return nil
}

// sendDocumentRemoval sends that a document has left the target, and whether it was deleted.
func (s *Stream) sendDocumentRemoval(t *target, sn *store.Snapshot, key string) error {
	_, p, err := name.ParseDocument(t.db.String() + "/documents/" + key)
	if err != nil {
		return err
	}
	d, err := sn.Get(t.db, p)
	if err != nil {
		return err
	}
	if d == nil {
		return s.send(documentDelete(p.ResourceName(t.db), sn.Time, t.id))
	}
	return s.send(documentRemove(p.ResourceName(t.db), sn.Time, t.id))
}

// SendChanges sends all queued commits, and then the time up to which the client is up to date.
func (s *Stream) SendChanges(ctx context.Context) error {
	for {
		events, ok := s.events.drain()
		if !ok {
			return status.Error(codes.Unavailable, "The listener was too slow and must start over from its resume token.")
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			s.readTime = max(s.readTime, e.Time)
			for _, t := range s.targets {
				if err := s.sendEvent(ctx, t, e); err != nil {
					return err
				}
			}
		}
	}
	for _, t := range s.targets {
		s.readTime = max(s.readTime, t.readTime)
	}
	return s.send(targetChange(pb.TargetChange_NO_CHANGE, s.readTime))
}

// sendEvent sends the changes of one commit in one target.
func (s *Stream) sendEvent(ctx context.Context, t *target, e store.Event) error {
	if e.Time <= t.readTime || e.Database != t.db {
		return nil
	}
	for _, c := range e.Changes {
		if !t.affectedBy(c) {
			continue
		}
		if t.hasLimitOrOffset() {
			return s.refresh(ctx, t)
		}
		if err := s.send(t.changeResponse(c, e.Time)); err != nil {
			return err
		}
	}
	t.readTime = e.Time
	return nil
}

// changeResponse returns the response for a change in the target, and records which version the client then has.
func (t *target) changeResponse(c store.Change, at document.Time) *pb.ListenResponse {
	if t.matches(c.New) {
		t.sentVersions[c.Path.String()] = c.New.UpdateTime
		return t.documentChange(c.New)
	}
	delete(t.sentVersions, c.Path.String())
	if c.New == nil {
		return documentDelete(c.Path.ResourceName(t.db), at, t.id)
	}
	return documentRemove(c.Path.ResourceName(t.db), at, t.id)
}

func (s *Stream) removeTarget(id int32, cause error) error {
	t := s.targets[id]
	if t == nil {
		return nil
	}
	s.broadcaster.unsubscribe(s.events, t.watchKeys)
	delete(s.targets, id)
	return s.sendTargetRemove(id, cause)
}

// sendTargetRemove sends that a target was removed. cause is nil if the client asked for it.
func (s *Stream) sendTargetRemove(id int32, cause error) error {
	m := targetChange(pb.TargetChange_REMOVE, 0, id)
	if cause != nil {
		m.GetTargetChange().Cause = status.Convert(cause).Proto()
	}
	return s.send(m)
}
