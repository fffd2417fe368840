package pubsub_test

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

func TestTopicLifecycle(t *testing.T) {
	s := start(t, pubsub.Options{})
	p, ctx := s.publisher(), t.Context()
	want := &pubsubpb.Topic{
		Name:                     topicName("topic"),
		Labels:                   map[string]string{"a": "b"},
		MessageRetentionDuration: durationpb.New(time.Hour),
		State:                    pubsubpb.Topic_ACTIVE,
	}
	got, err := p.CreateTopic(ctx, want)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want, got, protocmp.Transform()))
	_, err = p.CreateTopic(ctx, want)
	wantCode(t, codes.AlreadyExists, err)

	want.Labels = map[string]string{"c": "d"}
	_, err = p.UpdateTopic(ctx, &pubsubpb.UpdateTopicRequest{
		Topic:      &pubsubpb.Topic{Name: want.Name, Labels: want.Labels},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}},
	})
	require.NoError(t, err)
	got, err = p.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: want.Name})
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want, got, protocmp.Transform()), "only the fields in the mask change")

	s.createSubOnly(t, "sub", &pubsubpb.Subscription{})
	s.publish(t, textMessages("kept")...)
	_, err = p.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: want.Name})
	require.NoError(t, err)
	_, err = p.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: want.Name})
	wantCode(t, codes.NotFound, err)
	sub, err := s.subscriber().GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: subName("sub")})
	require.NoError(t, err)
	require.Equal(t, "_deleted-topic_", sub.Topic)
	require.Equal(t, []string{"kept"}, bodies(s.pull(t, "sub")))

	s.createTopic(t, "topic")
	s.publish(t, textMessages("to a new topic with the same name")...)
	require.Empty(t, s.pull(t, "sub"))
}

func TestSubscriptionDefaults(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createTopic(t, "topic")
	want := &pubsubpb.Subscription{
		Name:                     subName("sub"),
		Topic:                    topicName("topic"),
		PushConfig:               nil,
		AckDeadlineSeconds:       10,
		MessageRetentionDuration: durationpb.New(7 * 24 * time.Hour),
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(31 * 24 * time.Hour)},
		RetryPolicy:              &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(10 * time.Second), MaximumBackoff: durationpb.New(600 * time.Second)},
		DeadLetterPolicy:         &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("topic"), MaxDeliveryAttempts: 5},
		State:                    pubsubpb.Subscription_ACTIVE,
	}
	got, err := s.subscriber().CreateSubscription(t.Context(), &pubsubpb.Subscription{
		Name:             want.Name,
		Topic:            want.Topic,
		PushConfig:       &pubsubpb.PushConfig{},
		RetryPolicy:      &pubsubpb.RetryPolicy{},
		DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("topic")},
	})
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want, got, protocmp.Transform()))
}

func TestInvalidSubscriptionRequests(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createTopic(t, "topic")
	s.createSubOnly(t, "taken", &pubsubpb.Subscription{})
	seconds := func(n int64) *durationpb.Duration { return &durationpb.Duration{Seconds: n} }
	for name, c := range map[string]struct {
		edit func(*pubsubpb.Subscription)
		want codes.Code
	}{
		"exists":             {func(c *pubsubpb.Subscription) { c.Name = subName("taken") }, codes.AlreadyExists},
		"no such topic":      {func(c *pubsubpb.Subscription) { c.Topic = topicName("none") }, codes.NotFound},
		"malformed name":     {func(c *pubsubpb.Subscription) { c.Name = "sub" }, codes.InvalidArgument},
		"name of a topic":    {func(c *pubsubpb.Subscription) { c.Name = topicName("sub") }, codes.InvalidArgument},
		"short name":         {func(c *pubsubpb.Subscription) { c.Name = subName("ab") }, codes.InvalidArgument},
		"long name":          {func(c *pubsubpb.Subscription) { c.Name = subName(strings.Repeat("a", 256)) }, codes.InvalidArgument},
		"reserved name":      {func(c *pubsubpb.Subscription) { c.Name = subName("google") }, codes.InvalidArgument},
		"name with a digit":  {func(c *pubsubpb.Subscription) { c.Name = subName("1abc") }, codes.InvalidArgument},
		"name with a blank":  {func(c *pubsubpb.Subscription) { c.Name = subName("a bc") }, codes.InvalidArgument},
		"malformed topic":    {func(c *pubsubpb.Subscription) { c.Topic = "topic" }, codes.InvalidArgument},
		"short ack deadline": {func(c *pubsubpb.Subscription) { c.AckDeadlineSeconds = 9 }, codes.InvalidArgument},
		"long ack deadline":  {func(c *pubsubpb.Subscription) { c.AckDeadlineSeconds = 601 }, codes.InvalidArgument},
		"short retention":    {func(c *pubsubpb.Subscription) { c.MessageRetentionDuration = seconds(599) }, codes.InvalidArgument},
		"long retention":     {func(c *pubsubpb.Subscription) { c.MessageRetentionDuration = seconds(31*86400 + 1) }, codes.InvalidArgument},
		"short expiration":   {func(c *pubsubpb.Subscription) { c.ExpirationPolicy = &pubsubpb.ExpirationPolicy{Ttl: seconds(86399)} }, codes.InvalidArgument},
		"long backoff":       {func(c *pubsubpb.Subscription) { c.RetryPolicy = &pubsubpb.RetryPolicy{MaximumBackoff: seconds(601)} }, codes.InvalidArgument},
		"minimum backoff above maximum": {func(c *pubsubpb.Subscription) {
			c.RetryPolicy = &pubsubpb.RetryPolicy{MinimumBackoff: seconds(30), MaximumBackoff: seconds(20)}
		}, codes.InvalidArgument},
		"few attempts": {func(c *pubsubpb.Subscription) {
			c.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("topic"), MaxDeliveryAttempts: 4}
		}, codes.InvalidArgument},
		"many attempts": {func(c *pubsubpb.Subscription) {
			c.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("topic"), MaxDeliveryAttempts: 101}
		}, codes.InvalidArgument},
		"no dead-letter topic": {func(c *pubsubpb.Subscription) {
			c.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("none")}
		}, codes.NotFound},
		"bad filter":  {func(c *pubsubpb.Subscription) { c.Filter = "attributes.a = b" }, codes.InvalidArgument},
		"long filter": {func(c *pubsubpb.Subscription) { c.Filter = `attributes.a = "` + strings.Repeat("b", 256) + `"` }, codes.InvalidArgument},
		"push": {func(c *pubsubpb.Subscription) {
			c.PushConfig = &pubsubpb.PushConfig{PushEndpoint: "https://example.com"}
		}, codes.Unimplemented},
		"BigQuery":      {func(c *pubsubpb.Subscription) { c.BigqueryConfig = &pubsubpb.BigQueryConfig{Table: "t"} }, codes.Unimplemented},
		"Cloud Storage": {func(c *pubsubpb.Subscription) { c.CloudStorageConfig = &pubsubpb.CloudStorageConfig{Bucket: "b"} }, codes.Unimplemented},
		"Bigtable":      {func(c *pubsubpb.Subscription) { c.BigtableConfig = &pubsubpb.BigtableConfig{Table: "t"} }, codes.Unimplemented},
		"transforms":    {func(c *pubsubpb.Subscription) { c.MessageTransforms = []*pubsubpb.MessageTransform{{}} }, codes.Unimplemented},
	} {
		t.Run(name, func(t *testing.T) {
			config := &pubsubpb.Subscription{Name: subName("sub"), Topic: topicName("topic")}
			c.edit(config)
			_, err := s.subscriber().CreateSubscription(t.Context(), config)
			wantCode(t, c.want, err)
		})
	}
}

func TestInvalidTopicRequests(t *testing.T) {
	s := start(t, pubsub.Options{})
	for name, c := range map[string]struct {
		topic *pubsubpb.Topic
		want  codes.Code
	}{
		"no name":         {&pubsubpb.Topic{}, codes.InvalidArgument},
		"short retention": {&pubsubpb.Topic{Name: topicName("topic"), MessageRetentionDuration: durationpb.New(time.Minute)}, codes.InvalidArgument},
		"schema":          {&pubsubpb.Topic{Name: topicName("topic"), SchemaSettings: &pubsubpb.SchemaSettings{Schema: "s"}}, codes.Unimplemented},
		"key":             {&pubsubpb.Topic{Name: topicName("topic"), KmsKeyName: "k"}, codes.Unimplemented},
		"transforms":      {&pubsubpb.Topic{Name: topicName("topic"), MessageTransforms: []*pubsubpb.MessageTransform{{}}}, codes.Unimplemented},
		"ingestion": {&pubsubpb.Topic{Name: topicName("topic"), IngestionDataSourceSettings: &pubsubpb.IngestionDataSourceSettings{
			Source: &pubsubpb.IngestionDataSourceSettings_AwsKinesis_{},
		}}, codes.Unimplemented},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.publisher().CreateTopic(t.Context(), c.topic)
			wantCode(t, c.want, err)
		})
	}
	_, err := pubsubpb.NewSchemaServiceClient(s.conn).CreateSchema(t.Context(), &pubsubpb.CreateSchemaRequest{Parent: "projects/p"})
	wantCode(t, codes.Unimplemented, err)
}

func TestUpdateSubscriptionMask(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, &pubsubpb.Subscription{AckDeadlineSeconds: 20})
	for name, c := range map[string]struct {
		paths []string
		want  codes.Code
	}{
		"mutable":   {[]string{"ack_deadline_seconds", "labels"}, codes.OK},
		"no mask":   {nil, codes.InvalidArgument},
		"unknown":   {[]string{"colour"}, codes.InvalidArgument},
		"immutable": {[]string{"filter"}, codes.InvalidArgument},
		"name":      {[]string{"name"}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.subscriber().UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{
				Subscription: &pubsubpb.Subscription{Name: subName("sub"), AckDeadlineSeconds: 30, Filter: "attributes:a", RetainAckedMessages: true},
				UpdateMask:   &fieldmaskpb.FieldMask{Paths: c.paths},
			})
			wantCode(t, c.want, err)
		})
	}
	got, err := s.subscriber().GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: subName("sub")})
	require.NoError(t, err)
	require.EqualValues(t, 30, got.AckDeadlineSeconds)
	require.False(t, got.RetainAckedMessages)
}

func TestUnknownResources(t *testing.T) {
	s := start(t, pubsub.Options{})
	ctx, p, sub := t.Context(), s.publisher(), s.subscriber()
	for name, call := range map[string]func() error{
		"get topic": func() error {
			_, err := p.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: topicName("none")})
			return err
		},
		"delete topic": func() error {
			_, err := p.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: topicName("none")})
			return err
		},
		"publish": func() error {
			_, err := p.Publish(ctx, &pubsubpb.PublishRequest{Topic: topicName("none"), Messages: textMessages("a")})
			return err
		},
		"detach": func() error {
			_, err := p.DetachSubscription(ctx, &pubsubpb.DetachSubscriptionRequest{Subscription: subName("none")})
			return err
		},
		"get sub": func() error {
			_, err := sub.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: subName("none")})
			return err
		},
		"delete sub": func() error {
			_, err := sub.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: subName("none")})
			return err
		},
		"pull": func() error {
			_, err := sub.Pull(ctx, &pubsubpb.PullRequest{Subscription: subName("none"), MaxMessages: 1})
			return err
		},
		"ack": func() error {
			_, err := sub.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: subName("none"), AckIds: []string{"a"}})
			return err
		},
		"get snapshot": func() error {
			_, err := sub.GetSnapshot(ctx, &pubsubpb.GetSnapshotRequest{Snapshot: snapshotName("none")})
			return err
		},
		"delete snapshot": func() error {
			_, err := sub.DeleteSnapshot(ctx, &pubsubpb.DeleteSnapshotRequest{Snapshot: snapshotName("none")})
			return err
		},
		"snapshot of none": func() error {
			_, err := sub.CreateSnapshot(ctx, &pubsubpb.CreateSnapshotRequest{Name: snapshotName("snap"), Subscription: subName("none")})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, codes.NotFound, call()) })
	}
}

func TestListPagesByProject(t *testing.T) {
	s := start(t, pubsub.Options{})
	for _, name := range []string{"projects/p/topics/aaa", "projects/p/topics/bbb", "projects/p/topics/ccc", "projects/q/topics/aaa"} {
		_, err := s.publisher().CreateTopic(t.Context(), &pubsubpb.Topic{Name: name})
		require.NoError(t, err)
	}
	var got []string
	token := ""
	for pages := 1; ; pages++ {
		r, err := s.publisher().ListTopics(t.Context(), &pubsubpb.ListTopicsRequest{Project: "projects/p", PageSize: 2, PageToken: token})
		require.NoError(t, err)
		for _, topic := range r.Topics {
			got = append(got, topic.Name)
		}
		if token = r.NextPageToken; token == "" {
			require.Equal(t, 2, pages)
			break
		}
	}
	require.Equal(t, []string{"projects/p/topics/aaa", "projects/p/topics/bbb", "projects/p/topics/ccc"}, got)
	_, err := s.publisher().ListTopics(t.Context(), &pubsubpb.ListTopicsRequest{Project: "projects/p", PageToken: "?"})
	wantCode(t, codes.InvalidArgument, err)
	_, err = s.publisher().ListTopics(t.Context(), &pubsubpb.ListTopicsRequest{Project: "p"})
	wantCode(t, codes.InvalidArgument, err)
}

func TestListSubscriptionsOfTopic(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createTopic(t, "other")
	s.createSub(t, nil)
	s.createSubOnly(t, "second", &pubsubpb.Subscription{})
	r, err := s.publisher().ListTopicSubscriptions(t.Context(), &pubsubpb.ListTopicSubscriptionsRequest{Topic: topicName("topic")})
	require.NoError(t, err)
	require.Equal(t, []string{subName("second"), subName("sub")}, r.Subscriptions)
	r, err = s.publisher().ListTopicSubscriptions(t.Context(), &pubsubpb.ListTopicSubscriptionsRequest{Topic: topicName("other")})
	require.NoError(t, err)
	require.Empty(t, r.Subscriptions)
	all, err := s.subscriber().ListSubscriptions(t.Context(), &pubsubpb.ListSubscriptionsRequest{Project: "projects/p"})
	require.NoError(t, err)
	require.Len(t, all.Subscriptions, 2)
}

func TestDetach(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	s.publish(t, textMessages("a")...)
	_, err := s.publisher().DetachSubscription(t.Context(), &pubsubpb.DetachSubscriptionRequest{Subscription: subName("sub")})
	require.NoError(t, err)
	_, err = s.subscriber().Pull(t.Context(), &pubsubpb.PullRequest{Subscription: subName("sub"), MaxMessages: 1})
	wantCode(t, codes.FailedPrecondition, err)
	got, err := s.subscriber().GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: subName("sub")})
	require.NoError(t, err)
	require.True(t, got.Detached)
	_, err = s.subscriber().DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: subName("sub")})
	require.NoError(t, err)
}
