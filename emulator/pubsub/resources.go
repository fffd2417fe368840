package pubsub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// Resources are topics and subscriptions.
type Resources struct {
	Topics        []*pubsubpb.Topic
	Subscriptions []*pubsubpb.Subscription
}

// ReadResources reads a file of resources: a JSON object with the lists topics and subscriptions, each element in the
// form of Google's REST API.
func ReadResources(path string) (r Resources, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	var lists struct{ Topics, Subscriptions []json.RawMessage }
	if err := json.Unmarshal(content, &lists); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	for _, raw := range lists.Topics {
		t := new(pubsubpb.Topic)
		err = errors.Join(err, protojson.Unmarshal(raw, t))
		r.Topics = append(r.Topics, t)
	}
	for _, raw := range lists.Subscriptions {
		s := new(pubsubpb.Subscription)
		err = errors.Join(err, protojson.Unmarshal(raw, s))
		r.Subscriptions = append(r.Subscriptions, s)
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// create creates the resources that do not exist.
func (s *Server) create(r Resources) error {
	ctx := context.Background()
	for _, t := range r.Topics {
		if _, err := (&publisher{s: s}).CreateTopic(ctx, t); err != nil && status.Code(err) != codes.AlreadyExists {
			return fmt.Errorf("create topic %s: %w", t.GetName(), err)
		}
	}
	for _, sub := range r.Subscriptions {
		if _, err := (&subscriber{s: s}).CreateSubscription(ctx, sub); err != nil && status.Code(err) != codes.AlreadyExists {
			return fmt.Errorf("create subscription %s: %w", sub.GetName(), err)
		}
	}
	return nil
}

// adminMethods need more than the roles Pub/Sub Publisher and Pub/Sub Subscriber in the cloud. The role of a subscriber
// also has snapshots and seek, but no program that only processes messages needs them.
var adminMethods = []string{
	"CreateTopic", "UpdateTopic", "GetTopic", "ListTopics", "ListTopicSubscriptions", "ListTopicSnapshots", "DeleteTopic",
	"DetachSubscription", "CreateSubscription", "GetSubscription", "UpdateSubscription", "ListSubscriptions",
	"DeleteSubscription", "ModifyPushConfig", "GetSnapshot", "ListSnapshots", "CreateSnapshot", "UpdateSnapshot",
	"DeleteSnapshot", "Seek",
}

func denyAdmin() error {
	return status.Error(codes.PermissionDenied, "User not authorized to perform this action.")
}
