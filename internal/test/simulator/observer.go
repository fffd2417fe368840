package simulator

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Observer knows what has happened to executions from the writes that the emulator has committed, which costs the
// product nothing. It is safe for concurrent use.
type Observer struct {
	mu        sync.Mutex
	changed   chan struct{} // closed by the next change
	terminal  map[string]time.Time
	requeued  map[string]time.Time // when an execution that had been claimed was queued again
	claimed   map[string]bool
	succeeded int

	recording bool // of messages
	messages  []message
}

// message is one that was published.
type message struct {
	topic string // its full name
	data  []byte
}

func newObserver() *Observer {
	return &Observer{
		changed: make(chan struct{}), terminal: map[string]time.Time{}, requeued: map[string]time.Time{}, claimed: map[string]bool{},
	}
}

// committed notes the states of executions that a commit has written.
func (o *Observer) committed(writes []*firestorepb.Write) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range writes {
		document := w.GetUpdate()
		stored := document.GetFields()["status"].GetStringValue()
		if stored == "" || collectionOf(document.GetName()) != "executions" {
			continue
		}
		id := lastPart(document.GetName())
		switch s := execution.Status(stored); {
		case s.Terminal():
			if _, known := o.terminal[id]; !known {
				o.terminal[id] = now
				if s == execution.Succeeded {
					o.succeeded++
				}
			}
		case s == execution.Running:
			o.claimed[id] = true
		case s == execution.Queued && o.claimed[id]:
			delete(o.claimed, id)
			o.requeued[id] = now
		}
	}
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *Observer) published(req *pubsubpb.PublishRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.recording {
		return
	}
	for _, m := range req.GetMessages() {
		o.messages = append(o.messages, message{topic: req.GetTopic(), data: bytes.Clone(m.GetData())})
	}
}

// recordMessages starts or stops to remember what is published.
func (o *Observer) recordMessages(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recording = on
}

// messagesNaming returns the recorded messages that name an execution.
func (o *Observer) messagesNaming(id string) (list []message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.messages {
		if strings.Contains(string(m.data), id) {
			list = append(list, m)
		}
	}
	return list
}

// Finished returns how many executions have ended, how many of them successfully, and a channel that is closed by the
// next change.
func (o *Observer) Finished() (all, succeeded int, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.terminal), o.succeeded, o.changed
}

// finishedAt is zero for an execution that has not ended.
func (o *Observer) finishedAt(id string) (at time.Time, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.terminal[id], o.changed
}

// requeuedAt is zero for an execution that was not queued again.
func (o *Observer) requeuedAt(id string) (at time.Time, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requeued[id], o.changed
}
