package broker

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// The attributes of a dead letter that describe its source.
const (
	sourcePrefix       = "CloudPubSubDeadLetterSource"
	sourceCount        = sourcePrefix + "DeliveryCount"
	sourceSubscription = sourcePrefix + "Subscription"
	sourceProject      = sourcePrefix + "SubscriptionProject"
	sourcePublished    = sourcePrefix + "TopicPublishTime"
)

// forwardDeadLetters publishes the messages to the dead-letter topic and then acknowledges them, in batches of about
// maxPullBytes. If that fails, the messages are delivered again. The caller holds no lock.
func (s *Subscription) forwardDeadLetters(dead []*backlog.Message) {
	for len(dead) > 0 {
		n, bytes := 0, 0
		for n < len(dead) && bytes < maxPullBytes {
			bytes += dead[n].Size
			n++
		}
		s.forwardBatch(dead[:n])
		dead = dead[n:]
	}
}

func (s *Subscription) forwardBatch(dead []*backlog.Message) {
	err := s.publishDeadLetters(dead)
	if err != nil {
		s.b.log.Warn("dead letters not forwarded",
			zap.String("subscription", s.name), zap.Int("messages", len(dead)), zap.Error(err))
	}
	err = s.applyChange(false, func(now time.Time, batch *store.Batch) {
		for _, m := range dead {
			if err != nil {
				s.backlog.Redeliver(now, m.Seq)
				continue
			}
			m, outcome := s.backlog.Remove(m.Seq)
			s.storeAck(batch, m, outcome)
		}
	})
	s.b.logError("acknowledge dead letters", err)
}

func (s *Subscription) publishDeadLetters(dead []*backlog.Message) error {
	t, err := s.b.Topic(s.Config().GetDeadLetterPolicy().GetDeadLetterTopic())
	if err != nil {
		return err
	}
	seqs := make([]uint64, len(dead))
	for i, m := range dead {
		seqs[i] = m.Seq
	}
	bodies, err := s.b.cache.get(seqs, nil)
	if err != nil {
		return err
	}
	var letters []*pubsubpb.PubsubMessage
	for i, body := range bodies {
		if body != nil { // nil: retention has removed it in the meantime
			letters = append(letters, s.newDeadLetter(dead[i], body))
		}
	}
	_, err = t.Publish(letters)
	return err
}

func (s *Subscription) newDeadLetter(m *backlog.Message, body *pubsubpb.PubsubMessage) *pubsubpb.PubsubMessage {
	failures := 0
	withLock(&s.mu, func() {
		if s.endErr == nil {
			failures = s.backlog.Failures(m.Seq)
		}
	})
	parts := strings.Split(s.name, "/")
	letter := proto.CloneOf(body)
	letter.Attributes = maps.Clone(body.Attributes)
	if letter.Attributes == nil {
		letter.Attributes = make(map[string]string)
	}
	letter.Attributes[sourceCount] = strconv.Itoa(failures)
	letter.Attributes[sourceSubscription] = parts[3]
	letter.Attributes[sourceProject] = parts[1]
	letter.Attributes[sourcePublished] = body.PublishTime.AsTime().Format(time.RFC3339Nano)
	return letter
}
