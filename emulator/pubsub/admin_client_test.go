package pubsub_test

import (
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

// TestSubscriptionUpdateMasks updates a subscription with Google's client. The new values differ in every field, but
// only the fields in the mask may change.
func TestSubscriptionUpdateMasks(t *testing.T) {
	before := &pubsubpb.Subscription{
		Name:                     subName("sub"),
		Topic:                    topicName("topic"),
		AckDeadlineSeconds:       20,
		MessageRetentionDuration: durationpb.New(time.Hour),
		Labels:                   map[string]string{"old": "1"},
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(48 * time.Hour)},
		DeadLetterPolicy:         &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("topic"), MaxDeliveryAttempts: 7},
		RetryPolicy:              &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(time.Second), MaximumBackoff: durationpb.New(time.Minute)},
		State:                    pubsubpb.Subscription_ACTIVE,
	}
	other := &pubsubpb.Subscription{
		Name:                      subName("sub"),
		Topic:                     topicName("other"),
		AckDeadlineSeconds:        30,
		RetainAckedMessages:       true,
		EnableExactlyOnceDelivery: true,
		MessageRetentionDuration:  durationpb.New(2 * time.Hour),
		Labels:                    map[string]string{"new": "2"},
		ExpirationPolicy:          &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(72 * time.Hour)},
		DeadLetterPolicy:          &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("other"), MaxDeliveryAttempts: 9},
		RetryPolicy:               &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(2 * time.Second), MaximumBackoff: durationpb.New(2 * time.Minute)},
		Filter:                    "attributes:a",
		EnableMessageOrdering:     true,
		Detached:                  true,
		PushConfig:                &pubsubpb.PushConfig{PushEndpoint: "https://example.com"},
	}
	empty := &pubsubpb.Subscription{Name: subName("sub")}
	for name, c := range map[string]struct {
		from  *pubsubpb.Subscription
		paths []string
		code  codes.Code
		want  func(s *pubsubpb.Subscription)
	}{
		"deadline":    {other, []string{"ack_deadline_seconds"}, codes.OK, func(s *pubsubpb.Subscription) { s.AckDeadlineSeconds = 30 }},
		"labels":      {other, []string{"labels"}, codes.OK, func(s *pubsubpb.Subscription) { s.Labels = other.Labels }},
		"retain":      {other, []string{"retain_acked_messages"}, codes.OK, func(s *pubsubpb.Subscription) { s.RetainAckedMessages = true }},
		"retention":   {other, []string{"message_retention_duration"}, codes.OK, func(s *pubsubpb.Subscription) { s.MessageRetentionDuration = other.MessageRetentionDuration }},
		"expiration":  {other, []string{"expiration_policy"}, codes.OK, func(s *pubsubpb.Subscription) { s.ExpirationPolicy = other.ExpirationPolicy }},
		"dead letter": {other, []string{"dead_letter_policy"}, codes.OK, func(s *pubsubpb.Subscription) { s.DeadLetterPolicy = other.DeadLetterPolicy }},
		"retry":       {other, []string{"retry_policy"}, codes.OK, func(s *pubsubpb.Subscription) { s.RetryPolicy = other.RetryPolicy }},
		"exactly once": {other, []string{"enable_exactly_once_delivery"}, codes.OK, func(s *pubsubpb.Subscription) {
			s.EnableExactlyOnceDelivery = true
		}},
		"several": {other, []string{"labels", "ack_deadline_seconds"}, codes.OK, func(s *pubsubpb.Subscription) {
			s.Labels, s.AckDeadlineSeconds = other.Labels, 30
		}},
		"part of a policy": {other, []string{"retry_policy.maximum_backoff", "dead_letter_policy.max_delivery_attempts"}, codes.OK, func(s *pubsubpb.Subscription) {
			s.RetryPolicy.MaximumBackoff, s.DeadLetterPolicy.MaxDeliveryAttempts = durationpb.New(2*time.Minute), 9
		}},
		"cleared labels":      {empty, []string{"labels"}, codes.OK, func(s *pubsubpb.Subscription) { s.Labels = nil }},
		"cleared dead letter": {empty, []string{"dead_letter_policy"}, codes.OK, func(s *pubsubpb.Subscription) { s.DeadLetterPolicy = nil }},
		"cleared retry":       {empty, []string{"retry_policy"}, codes.OK, func(s *pubsubpb.Subscription) { s.RetryPolicy = nil }},
		"cleared deadline":    {empty, []string{"ack_deadline_seconds"}, codes.OK, func(s *pubsubpb.Subscription) { s.AckDeadlineSeconds = 10 }},
		"cleared retention": {empty, []string{"message_retention_duration", "expiration_policy"}, codes.OK, func(s *pubsubpb.Subscription) {
			s.MessageRetentionDuration, s.ExpirationPolicy = durationpb.New(7*24*time.Hour), &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(31 * 24 * time.Hour)}
		}},
		"cleared backoff": {empty, []string{"retry_policy.maximum_backoff"}, codes.OK, func(s *pubsubpb.Subscription) { s.RetryPolicy.MaximumBackoff = durationpb.New(10 * time.Minute) }},
		"never expires":   {&pubsubpb.Subscription{Name: subName("sub"), ExpirationPolicy: &pubsubpb.ExpirationPolicy{}}, []string{"expiration_policy"}, codes.OK, func(s *pubsubpb.Subscription) { s.ExpirationPolicy = &pubsubpb.ExpirationPolicy{} }},
		"no push":         {empty, []string{"push_config"}, codes.OK, func(*pubsubpb.Subscription) {}},
		"push":            {other, []string{"push_config"}, codes.Unimplemented, nil},
		"no mask":         {other, nil, codes.InvalidArgument, nil},
		"unknown":         {other, []string{"colour"}, codes.InvalidArgument, nil},
		"unknown part":    {other, []string{"retry_policy.colour"}, codes.InvalidArgument, nil},
		"one label":       {other, []string{"labels.new"}, codes.InvalidArgument, nil},
		"name":            {other, []string{"name"}, codes.InvalidArgument, nil},
		"topic":           {other, []string{"topic"}, codes.InvalidArgument, nil},
		"filter":          {other, []string{"filter"}, codes.InvalidArgument, nil},
		"ordering":        {other, []string{"enable_message_ordering"}, codes.InvalidArgument, nil},
		"detached":        {other, []string{"detached"}, codes.InvalidArgument, nil},
		"one bad of two":  {other, []string{"labels", "filter"}, codes.InvalidArgument, nil},
		"unknown sub":     {&pubsubpb.Subscription{Name: subName("none")}, []string{"labels"}, codes.NotFound, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, pubsub.Options{})
			s.createTopic(t, "topic")
			s.createTopic(t, "other")
			admin := s.SubscriptionAdminClient
			want, err := admin.CreateSubscription(t.Context(), proto.CloneOf(before))
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(before, want, protocmp.Transform()))

			updated, err := admin.UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{
				Subscription: c.from, UpdateMask: &fieldmaskpb.FieldMask{Paths: c.paths},
			})
			wantCode(t, c.code, err)
			if err == nil {
				c.want(want)
				require.Empty(t, cmp.Diff(want, updated, protocmp.Transform()))
			}
			got, err := admin.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: subName("sub")})
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(want, got, protocmp.Transform()))
		})
	}
}

func TestTopicUpdateMasks(t *testing.T) {
	before := &pubsubpb.Topic{
		Name:                     topicName("topic"),
		Labels:                   map[string]string{"old": "1"},
		MessageRetentionDuration: durationpb.New(time.Hour),
		MessageStoragePolicy:     &pubsubpb.MessageStoragePolicy{AllowedPersistenceRegions: []string{"europe-west1"}},
		State:                    pubsubpb.Topic_ACTIVE,
	}
	empty := &pubsubpb.Topic{Name: topicName("topic")}
	for name, c := range map[string]struct {
		from *pubsubpb.Topic
		path string
		code codes.Code
		want func(*pubsubpb.Topic)
	}{
		"labels":            {&pubsubpb.Topic{Name: topicName("topic"), Labels: map[string]string{"new": "2"}}, "labels", codes.OK, func(c *pubsubpb.Topic) { c.Labels = map[string]string{"new": "2"} }},
		"retention":         {&pubsubpb.Topic{Name: topicName("topic"), MessageRetentionDuration: durationpb.New(2 * time.Hour)}, "message_retention_duration", codes.OK, func(c *pubsubpb.Topic) { c.MessageRetentionDuration = durationpb.New(2 * time.Hour) }},
		"cleared labels":    {empty, "labels", codes.OK, func(c *pubsubpb.Topic) { c.Labels = nil }},
		"cleared retention": {empty, "message_retention_duration", codes.OK, func(c *pubsubpb.Topic) { c.MessageRetentionDuration = nil }},
		"cleared regions":   {empty, "message_storage_policy.allowed_persistence_regions", codes.OK, func(c *pubsubpb.Topic) { c.MessageStoragePolicy = &pubsubpb.MessageStoragePolicy{} }},
		"long retention":    {&pubsubpb.Topic{Name: topicName("topic"), MessageRetentionDuration: durationpb.New(32 * 24 * time.Hour)}, "message_retention_duration", codes.InvalidArgument, nil},
		"key":               {&pubsubpb.Topic{Name: topicName("topic"), KmsKeyName: "k"}, "kms_key_name", codes.Unimplemented, nil},
		"schema":            {&pubsubpb.Topic{Name: topicName("topic"), SchemaSettings: &pubsubpb.SchemaSettings{Schema: "s"}}, "schema_settings", codes.Unimplemented, nil},
		"name":              {empty, "name", codes.InvalidArgument, nil},
		"state":             {empty, "state", codes.InvalidArgument, nil},
		"unknown":           {empty, "colour", codes.InvalidArgument, nil},
		"unknown topic":     {&pubsubpb.Topic{Name: topicName("none")}, "labels", codes.NotFound, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, pubsub.Options{})
			admin := s.TopicAdminClient
			want, err := admin.CreateTopic(t.Context(), proto.CloneOf(before))
			require.NoError(t, err)
			_, err = admin.UpdateTopic(t.Context(), &pubsubpb.UpdateTopicRequest{Topic: c.from, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{c.path}}})
			wantCode(t, c.code, err)
			if err == nil {
				c.want(want)
			}
			got, err := admin.GetTopic(t.Context(), &pubsubpb.GetTopicRequest{Topic: topicName("topic")})
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(want, got, protocmp.Transform()))
		})
	}
}

// TestAdminClientPagination lists more than one page with the iterators of Google's client.
func TestAdminClientPagination(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	for _, id := range []string{"sub2", "sub3", "sub4", "sub5"} {
		s.createSubOnly(t, id, &pubsubpb.Subscription{})
	}
	all := []string{"sub", "sub2", "sub3", "sub4", "sub5"}
	var listed, ofTopic []string
	for it := s.SubscriptionAdminClient.ListSubscriptions(t.Context(), &pubsubpb.ListSubscriptionsRequest{Project: "projects/p", PageSize: 2}); ; {
		sub, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		require.NoError(t, err)
		listed = append(listed, sub.Name)
	}
	for it := s.TopicAdminClient.ListTopicSubscriptions(t.Context(), &pubsubpb.ListTopicSubscriptionsRequest{Topic: topicName("topic"), PageSize: 2}); ; {
		name, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		require.NoError(t, err)
		ofTopic = append(ofTopic, name)
	}
	var want []string
	for _, id := range all {
		want = append(want, subName(id))
	}
	require.Equal(t, want, listed)
	require.Equal(t, want, ofTopic)
}

// TestUnsupportedFeatureIsNamedInError checks that every UNIMPLEMENTED error names the missing feature.
func TestUnsupportedFeatureIsNamedInError(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	ctx := t.Context()
	create := func(c *pubsubpb.Subscription) error {
		c.Name, c.Topic = subName("new"), topicName("topic")
		_, err := s.SubscriptionAdminClient.CreateSubscription(ctx, c)
		return err
	}
	topic := func(c *pubsubpb.Topic) error {
		c.Name = topicName("new")
		_, err := s.TopicAdminClient.CreateTopic(ctx, c)
		return err
	}
	schemas := pubsubpb.NewSchemaServiceClient(s.conn)
	for name, call := range map[string]func() error{
		"push": func() error {
			return create(&pubsubpb.Subscription{PushConfig: &pubsubpb.PushConfig{PushEndpoint: "https://example.com"}})
		},
		"BigQuery": func() error { return create(&pubsubpb.Subscription{BigqueryConfig: &pubsubpb.BigQueryConfig{}}) },
		"Cloud Storage": func() error {
			return create(&pubsubpb.Subscription{CloudStorageConfig: &pubsubpb.CloudStorageConfig{}})
		},
		"Bigtable":           func() error { return create(&pubsubpb.Subscription{BigtableConfig: &pubsubpb.BigtableConfig{}}) },
		"message transforms": func() error { return topic(&pubsubpb.Topic{MessageTransforms: []*pubsubpb.MessageTransform{{}}}) },
		"encryption keys":    func() error { return topic(&pubsubpb.Topic{KmsKeyName: "k"}) },
		"schemas":            func() error { return topic(&pubsubpb.Topic{SchemaSettings: &pubsubpb.SchemaSettings{Schema: "s"}}) },
		"push subscriptions": func() error {
			return s.SubscriptionAdminClient.ModifyPushConfig(ctx, &pubsubpb.ModifyPushConfigRequest{
				Subscription: subName("sub"), PushConfig: &pubsubpb.PushConfig{PushEndpoint: "https://example.com"},
			})
		},
		"CreateSchema":    func() error { _, err := schemas.CreateSchema(ctx, &pubsubpb.CreateSchemaRequest{}); return err },
		"ListSchemas":     func() error { _, err := schemas.ListSchemas(ctx, &pubsubpb.ListSchemasRequest{}); return err },
		"ValidateMessage": func() error { _, err := schemas.ValidateMessage(ctx, &pubsubpb.ValidateMessageRequest{}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			err := call()
			wantCode(t, codes.Unimplemented, err)
			require.ErrorContains(t, err, name)
		})
	}
}
