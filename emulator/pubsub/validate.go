package pubsub

import (
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/resource"
)

// checkTopic refuses an invalid or unsupported topic and sets the fields that the service controls.
func checkTopic(t *pubsubpb.Topic) error {
	switch {
	case t.SchemaSettings.GetSchema() != "":
		return unsupported("schemas")
	case t.KmsKeyName != "":
		return unsupported("customer-managed encryption keys")
	case t.IngestionDataSourceSettings.GetSource() != nil:
		return unsupported("ingestion")
	case len(t.MessageTransforms) > 0:
		return unsupported("message transforms")
	}
	if d := t.MessageRetentionDuration; d != nil {
		if err := checkRange("message_retention_duration", d, minRetention, maxRetention); err != nil {
			return err
		}
	}
	t.State = pubsubpb.Topic_ACTIVE
	t.SatisfiesPzs = false
	t.SchemaSettings, t.IngestionDataSourceSettings, t.Tags = nil, nil, nil
	return checkLabels(t.Labels)
}

// checkSubscription refuses an invalid or unsupported subscription, and sets the defaults and the fields that the
// service controls.
func checkSubscription(c *pubsubpb.Subscription) error {
	if err := checkSupported(c); err != nil {
		return err
	}
	switch n := c.AckDeadlineSeconds; {
	case n == 0:
		c.AckDeadlineSeconds = minAckDeadline
	case n < minAckDeadline || n > maxAckDeadline:
		return invalid("Invalid ack_deadline_seconds: %d is not between %d and %d.", n, minAckDeadline, maxAckDeadline)
	}
	if c.MessageRetentionDuration == nil {
		c.MessageRetentionDuration = durationpb.New(defaultRetention)
	}
	for _, err := range []error{
		checkRange("message_retention_duration", c.MessageRetentionDuration, minRetention, maxRetention),
		checkExpirationPolicy(c),
		checkRetryPolicy(c.RetryPolicy),
		checkDeadLetterPolicy(c.DeadLetterPolicy),
		checkLabels(c.Labels),
	} {
		if err != nil {
			return err
		}
	}
	c.State = pubsubpb.Subscription_ACTIVE
	c.PushConfig = nil
	c.TopicMessageRetentionDuration, c.AnalyticsHubSubscriptionInfo, c.Tags = nil, nil, nil
	return nil
}

func checkSupported(c *pubsubpb.Subscription) error {
	switch {
	case c.PushConfig.GetPushEndpoint() != "":
		return unsupported("push subscriptions")
	case c.BigqueryConfig != nil:
		return unsupported("BigQuery subscriptions")
	case c.CloudStorageConfig != nil:
		return unsupported("Cloud Storage subscriptions")
	case c.BigtableConfig != nil:
		return unsupported("Bigtable subscriptions")
	case len(c.MessageTransforms) > 0:
		return unsupported("message transforms")
	}
	return nil
}

func checkExpirationPolicy(c *pubsubpb.Subscription) error {
	if c.ExpirationPolicy == nil {
		c.ExpirationPolicy = &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(defaultExpiration)}
	}
	ttl := c.ExpirationPolicy.Ttl
	if ttl == nil {
		return nil // never expires
	}
	if !ttl.IsValid() || ttl.AsDuration() < minExpiration {
		return invalid("Invalid expiration_policy.ttl: it must be at least %v.", minExpiration)
	}
	if ttl.AsDuration() < c.MessageRetentionDuration.AsDuration() {
		return invalid("Invalid expiration_policy.ttl: it must not be less than message_retention_duration.")
	}
	return nil
}

func checkRetryPolicy(p *pubsubpb.RetryPolicy) error {
	if p == nil {
		return nil
	}
	if p.MinimumBackoff == nil {
		p.MinimumBackoff = durationpb.New(defaultMinBackoff)
	}
	if p.MaximumBackoff == nil {
		p.MaximumBackoff = durationpb.New(defaultMaxBackoff)
	}
	if err := checkRange("retry_policy.minimum_backoff", p.MinimumBackoff, 0, defaultMaxBackoff); err != nil {
		return err
	}
	if err := checkRange("retry_policy.maximum_backoff", p.MaximumBackoff, 0, defaultMaxBackoff); err != nil {
		return err
	}
	if p.MinimumBackoff.AsDuration() > p.MaximumBackoff.AsDuration() {
		return invalid("Invalid retry_policy: minimum_backoff is greater than maximum_backoff.")
	}
	return nil
}

func checkDeadLetterPolicy(p *pubsubpb.DeadLetterPolicy) error {
	if p == nil {
		return nil
	}
	if err := checkName(resource.Topics, p.DeadLetterTopic); err != nil {
		return err
	}
	switch n := p.MaxDeliveryAttempts; {
	case n == 0:
		p.MaxDeliveryAttempts = minDeliveryAttempts
	case n < minDeliveryAttempts || n > maxDeliveryAttempts:
		return invalid("Invalid dead_letter_policy.max_delivery_attempts: %d is not between %d and %d.", n, minDeliveryAttempts, maxDeliveryAttempts)
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return invalid("The resource has %d labels, more than %d.", len(labels), maxLabels)
	}
	for k, v := range labels {
		if k == "" || len(k) > 63 || len(v) > 63 {
			return invalid("Invalid label %q: keys have 1 to 63 characters, values at most 63.", k)
		}
	}
	return nil
}

func checkRange(field string, d *durationpb.Duration, low, high time.Duration) error {
	if !d.IsValid() || d.AsDuration() < low || d.AsDuration() > high {
		return invalid("Invalid %s: it must be between %v and %v.", field, low, high)
	}
	return nil
}
