package pubsub

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/broker"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/resource"
)

// subscriber implements the service Subscriber.
type subscriber struct {
	pubsubpb.UnimplementedSubscriberServer
	s *Server
}

// findSubscription returns the subscription that a request names.
func (s *subscriber) findSubscription(name string) (*broker.Subscription, error) {
	if err := checkName(resource.Subscriptions, name); err != nil {
		return nil, err
	}
	return s.s.broker.Subscription(name)
}

func (s *subscriber) CreateSubscription(_ context.Context, req *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
	if err := checkName(resource.Subscriptions, req.Name); err != nil {
		return nil, err
	}
	if err := checkName(resource.Topics, req.Topic); err != nil {
		return nil, err
	}
	config := proto.CloneOf(req)
	config.Detached = false
	if err := checkSubscription(config); err != nil {
		return nil, err
	}
	sub, err := s.s.broker.CreateSubscription(config)
	if err != nil {
		return nil, err
	}
	return describe(sub), nil
}

func (s *subscriber) GetSubscription(_ context.Context, req *pubsubpb.GetSubscriptionRequest) (*pubsubpb.Subscription, error) {
	sub, err := s.findSubscription(req.Subscription)
	if err != nil {
		return nil, err
	}
	return describe(sub), nil
}

func (s *subscriber) UpdateSubscription(_ context.Context, req *pubsubpb.UpdateSubscriptionRequest) (*pubsubpb.Subscription, error) {
	name := req.GetSubscription().GetName()
	if err := checkName(resource.Subscriptions, name); err != nil {
		return nil, err
	}
	sub, err := s.s.broker.UpdateSubscription(name, func(c *pubsubpb.Subscription) error {
		if err := applyUpdateMask(c, req.Subscription, req.UpdateMask, subscriptionFields); err != nil {
			return err
		}
		return checkSubscription(c)
	})
	if err != nil {
		return nil, err
	}
	return describe(sub), nil
}

func (s *subscriber) ListSubscriptions(_ context.Context, req *pubsubpb.ListSubscriptionsRequest) (*pubsubpb.ListSubscriptionsResponse, error) {
	subs, next, err := listProject(req, s.s.broker.ListSubscriptions, (*broker.Subscription).Name)
	if err != nil {
		return nil, err
	}
	reply := &pubsubpb.ListSubscriptionsResponse{NextPageToken: next}
	for _, sub := range subs {
		reply.Subscriptions = append(reply.Subscriptions, describe(sub))
	}
	return reply, nil
}

func (s *subscriber) DeleteSubscription(_ context.Context, req *pubsubpb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	return deleteResource(resource.Subscriptions, req.Subscription, s.s.broker.DeleteSubscription)
}

// ModifyPushConfig checks the request and changes nothing: every subscription is a pull subscription.
func (s *subscriber) ModifyPushConfig(_ context.Context, req *pubsubpb.ModifyPushConfigRequest) (*emptypb.Empty, error) {
	if _, err := s.findSubscription(req.Subscription); err != nil {
		return nil, err
	}
	if req.PushConfig.GetPushEndpoint() != "" {
		return nil, unsupported("push subscriptions")
	}
	return &emptypb.Empty{}, nil
}

// describe returns the subscription as the API describes it.
func describe(sub *broker.Subscription) *pubsubpb.Subscription {
	config := sub.Config()
	if d := sub.TopicRetention(); d > 0 {
		config = proto.CloneOf(config)
		config.TopicMessageRetentionDuration = durationpb.New(d)
	}
	return config
}
