package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// ResourceError means that a topic or subscription does not exist, or that this process may not use it. An operator
// must act; the queue goes on by itself after that.
type ResourceError struct {
	Kind   string // "topic" or "subscription"
	Name   string
	Denied bool // it may exist, but this process may not use it
}

// OperatorMustAct says that the error's text is for the operator.
func (*ResourceError) OperatorMustAct() {}

func (e *ResourceError) Error() string {
	if e.Denied {
		role := map[string]string{"topic": "publisher", "subscription": "subscriber"}[e.Kind]
		return fmt.Sprintf("%s %s: permission denied: grant roles/pubsub.%s on it", e.Kind, e.Name, role)
	}
	return fmt.Sprintf("%s %s not found: create it, or set AIRLOCK_PUBSUB_MANAGE=true; see docs/configuration.md", e.Kind, e.Name)
}

// ResourceErrors are several of them, so that an operator can do everything at once.
type ResourceErrors []*ResourceError

// OperatorMustAct is that of ResourceError.
func (ResourceErrors) OperatorMustAct() {}

func (e ResourceErrors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, ". ")
}

// resource is a topic or subscription that the queue uses.
type resource struct{ kind, name string }

func topicResource(name string) resource        { return resource{"topic", name} }
func subscriptionResource(name string) resource { return resource{"subscription", name} }

// resourceStates remembers how the newest use of each topic and subscription ended. It is safe for concurrent use.
type resourceStates struct {
	mu     sync.Mutex
	states map[resource]error // nil: it works
}

// record records the end of a use, and returns err as a ResourceError if it is one.
func (s *resourceStates) record(r resource, err error) error {
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound:
		err = &ResourceError{Kind: r.kind, Name: r.name}
	case codes.PermissionDenied:
		err = &ResourceError{Kind: r.kind, Name: r.name, Denied: true}
	default:
		return err // an outage says nothing about the resource
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.states == nil {
		s.states = map[resource]error{}
	}
	s.states[r] = err
	return err
}

// get returns the newest state; known is false if there is none.
func (s *resourceStates) get(r resource) (known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err, known = s.states[r]
	return known, err
}

// unusable returns the errors of a kind of resource, sorted by name.
func (s *resourceStates) unusable(kind string) (found ResourceErrors) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r, err := range s.states {
		if of, ok := errors.AsType[*ResourceError](err); ok && r.kind == kind {
			found = append(found, of)
		}
	}
	slices.SortFunc(found, func(a, b *ResourceError) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// PullError returns the ResourceErrors because of which the newest pulls have failed; nil if there are none.
func (q *Queue) PullError() error {
	if unusable := q.resources.unusable("subscription"); len(unusable) > 0 {
		return unusable
	}
	return nil
}

// SubscriptionError returns the *ResourceError of the newest pull from a subscription; nil if there is none.
func (q *Queue) SubscriptionError(s Subscription) error {
	_, err := q.resources.get(subscriptionResource(s.Name()))
	return err
}

// Check returns an error if the topic of a lane does not exist, may not be used or is unreachable. The error is of type
// ResourceErrors unless Pub/Sub is unreachable.
func (q *Queue) Check(ctx context.Context) error {
	var unusable ResourceErrors
	for _, lane := range lanes {
		check := q.checkTopic
		if q.unmanaged {
			check = q.probeTopic
		}
		err := check(ctx, lane)
		if of, ok := errors.AsType[*ResourceError](err); ok {
			unusable = append(unusable, of)
		} else if err != nil {
			return err
		}
	}
	if len(unusable) > 0 {
		return unusable
	}
	return nil
}

func (q *Queue) checkTopic(ctx context.Context, lane execution.Lane) error {
	topic := laneTopic(lane)
	_, err := q.client.TopicAdminClient.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: q.topic(topic)})
	if status.Code(err) == codes.NotFound {
		return &ResourceError{Kind: "topic", Name: topic}
	}
	return err
}

// probeAttribute marks a message that only shows whether its topic can be used.
const probeAttribute = "airlock-probe"

// probeTopic is checkTopic without an admin call. Once a message was published, it knows enough; until then it
// publishes a probe. It has no runtime, so nobody receives it.
func (q *Queue) probeTopic(ctx context.Context, lane execution.Lane) error {
	if known, err := q.resources.get(topicResource(laneTopic(lane))); known && err == nil {
		return nil
	}
	_, err := q.lanes[lane].Publish(ctx, &pubsub.Message{Attributes: map[string]string{probeAttribute: "true"}}).Get(ctx)
	return q.resources.record(topicResource(laneTopic(lane)), err)
}
