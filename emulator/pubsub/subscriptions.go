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

// subscriber is the Subscriber service.
type subscriber struct {
	pubsubpb.UnimplementedSubscriberServer
	s *Server
}

// find returns the subscription that a request names.
func (s *subscriber) findSubscription(name string) (*broker.Subscription, error) {
	if err := invalidName(resource.Check(resource.Subscriptions, name)); err != nil {
		return nil, err
	}
	return s.s.broker.Subscription(name)
}

func (s *subscriber) CreateSubscription(_ context.Context, req *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
	if err := invalidName(resource.Check(resource.Subscriptions, req.Name)); err != nil {
		return nil, err
	}
	if err := invalidName(resource.Check(resource.Topics, req.Topic)); err != nil {
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
	if err := invalidName(resource.Check(resource.Subscriptions, name)); err != nil {
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
	if err := invalidName(resource.CheckProject(req.Project)); err != nil {
		return nil, err
	}
	subs, next, err := paginate(s.s.broker.ListSubscriptions(req.Project), (*broker.Subscription).Name, req.PageSize, req.PageToken)
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
	if err := invalidName(resource.Check(resource.Subscriptions, req.Subscription)); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, s.s.broker.DeleteSubscription(req.Subscription)
}

// ModifyPushConfig is no more than a check: every subscription is a pull
// subscription already.
func (s *subscriber) ModifyPushConfig(_ context.Context, req *pubsubpb.ModifyPushConfigRequest) (*emptypb.Empty, error) {
	if _, err := s.findSubscription(req.Subscription); err != nil {
		return nil, err
	}
	if req.PushConfig.GetPushEndpoint() != "" {
		return nil, unsupported("push subscriptions")
	}
	return &emptypb.Empty{}, nil
}

// describe is the subscription as its users see it.
func describe(sub *broker.Subscription) *pubsubpb.Subscription {
	config := sub.Config()
	if d := sub.TopicRetention(); d > 0 {
		config = proto.CloneOf(config)
		config.TopicMessageRetentionDuration = durationpb.New(d)
	}
	return config
}
