package pubsub_test

import (
	"os"
	"path/filepath"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/emulator/pubsub"
)

const someResources = `{
  "topics": [{"name": "projects/airlock-test/topics/news"}],
  "subscriptions": [{
    "name": "projects/airlock-test/subscriptions/reader", "topic": "projects/airlock-test/topics/news",
    "ackDeadlineSeconds": 30, "expirationPolicy": {}
  }]
}`

func readResources(t *testing.T, content string) (pubsub.Resources, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resources.json")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	return pubsub.ReadResources(file)
}

func TestCreatedResourcesExistFromTheStart(t *testing.T) {
	t.Parallel()
	r, err := readResources(t, someResources)
	require.NoError(t, err)
	dir := t.TempDir()
	first := emulatortest.StartPubSub(t, pubsub.Options{Dir: dir, Create: r})
	request := &pubsubpb.GetSubscriptionRequest{Subscription: r.Subscriptions[0].Name}
	s, err := first.Client.SubscriptionAdminClient.GetSubscription(t.Context(), request)
	require.NoError(t, err)
	require.EqualValues(t, 30, s.AckDeadlineSeconds)
	s.AckDeadlineSeconds = 40
	_, err = first.Client.SubscriptionAdminClient.UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{
		Subscription: s, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds"}},
	})
	require.NoError(t, err)
	first.Close()
	again := emulatortest.StartPubSub(t, pubsub.Options{Dir: dir, Create: r})
	s, err = again.Client.SubscriptionAdminClient.GetSubscription(t.Context(), request)
	require.NoError(t, err)
	require.EqualValues(t, 40, s.AckDeadlineSeconds, "an existing subscription stays as it is")
}

func TestInvalidResourcesAreRefused(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"[]", `{"topics": [{"nam": "x"}]}`, `{"subscriptions": [{"topic": 1}]}`} {
		_, err := readResources(t, content)
		require.ErrorContains(t, err, "resources.json")
	}
	_, err := pubsub.ReadResources("no/such/file")
	require.Error(t, err)
	_, err = pubsub.Open(pubsub.Options{Create: pubsub.Resources{Topics: []*pubsubpb.Topic{{Name: "x"}}}})
	require.ErrorContains(t, err, "create topic x")
	r, err := readResources(t, someResources)
	require.NoError(t, err)
	_, err = pubsub.Open(pubsub.Options{Create: pubsub.Resources{Subscriptions: r.Subscriptions}})
	require.ErrorContains(t, err, "create subscription")
}

func TestDenyAdmin(t *testing.T) {
	t.Parallel()
	r, err := readResources(t, someResources)
	require.NoError(t, err)
	p := emulatortest.StartPubSub(t, pubsub.Options{Create: r, DenyAdmin: true})
	topics, subs := p.Client.TopicAdminClient, p.Client.SubscriptionAdminClient
	topic, sub := r.Topics[0].Name, r.Subscriptions[0].Name
	for name, call := range map[string]func() error{
		"create topic": func() error {
			_, err := topics.CreateTopic(t.Context(), &pubsubpb.Topic{Name: topic + "2"})
			return err
		},
		"get topic": func() error {
			_, err := topics.GetTopic(t.Context(), &pubsubpb.GetTopicRequest{Topic: topic})
			return err
		},
		"delete topic": func() error {
			return topics.DeleteTopic(t.Context(), &pubsubpb.DeleteTopicRequest{Topic: topic})
		},
		"list topics": func() error {
			_, err := topics.ListTopics(t.Context(), &pubsubpb.ListTopicsRequest{Project: "projects/airlock-test"}).Next()
			return err
		},
		"create subscription": func() error {
			_, err := subs.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: sub + "2", Topic: topic})
			return err
		},
		"get subscription": func() error {
			_, err := subs.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: sub})
			return err
		},
		"update subscription": func() error {
			_, err := subs.UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{Subscription: r.Subscriptions[0]})
			return err
		},
		"delete subscription": func() error {
			return subs.DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: sub})
		},
	} {
		require.Equal(t, codes.PermissionDenied, status.Code(call()), name)
	}
	_, err = topics.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: topic, Messages: []*pubsubpb.PubsubMessage{{Data: []byte("x")}}})
	require.NoError(t, err)
	got, err := subs.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: sub, MaxMessages: 1})
	require.NoError(t, err)
	require.Len(t, got.ReceivedMessages, 1)
	require.NoError(t, subs.Acknowledge(t.Context(), &pubsubpb.AcknowledgeRequest{Subscription: sub, AckIds: []string{got.ReceivedMessages[0].AckId}}))
}
