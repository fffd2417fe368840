package pubsub

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/resource"
)

// publisher is the Publisher service.
type publisher struct {
	pubsubpb.UnimplementedPublisherServer
	s *Server
}

func (p *publisher) CreateTopic(_ context.Context, req *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	if err := invalidName(resource.Check(resource.Topics, req.Name)); err != nil {
		return nil, err
	}
	config := proto.CloneOf(req)
	if err := checkTopic(config); err != nil {
		return nil, err
	}
	t, err := p.s.broker.CreateTopic(config)
	if err != nil {
		return nil, err
	}
	return t.Config(), nil
}

func (p *publisher) GetTopic(_ context.Context, req *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	if err := invalidName(resource.Check(resource.Topics, req.Topic)); err != nil {
		return nil, err
	}
	t, err := p.s.broker.Topic(req.Topic)
	if err != nil {
		return nil, err
	}
	return t.Config(), nil
}

func (p *publisher) UpdateTopic(_ context.Context, req *pubsubpb.UpdateTopicRequest) (*pubsubpb.Topic, error) {
	name := req.GetTopic().GetName()
	if err := invalidName(resource.Check(resource.Topics, name)); err != nil {
		return nil, err
	}
	return p.s.broker.UpdateTopic(name, func(t *pubsubpb.Topic) error {
		if err := applyUpdateMask(t, req.Topic, req.UpdateMask, topicFields); err != nil {
			return err
		}
		return checkTopic(t)
	})
}

func (p *publisher) DeleteTopic(_ context.Context, req *pubsubpb.DeleteTopicRequest) (*emptypb.Empty, error) {
	if err := invalidName(resource.Check(resource.Topics, req.Topic)); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, p.s.broker.DeleteTopic(req.Topic)
}

func (p *publisher) ListTopics(_ context.Context, req *pubsubpb.ListTopicsRequest) (*pubsubpb.ListTopicsResponse, error) {
	if err := invalidName(resource.CheckProject(req.Project)); err != nil {
		return nil, err
	}
	topics, next, err := paginate(p.s.broker.ListTopics(req.Project), (*pubsubpb.Topic).GetName, req.PageSize, req.PageToken)
	if err != nil {
		return nil, err
	}
	return &pubsubpb.ListTopicsResponse{Topics: topics, NextPageToken: next}, nil
}

func (p *publisher) ListTopicSubscriptions(_ context.Context, req *pubsubpb.ListTopicSubscriptionsRequest) (*pubsubpb.ListTopicSubscriptionsResponse, error) {
	if err := invalidName(resource.Check(resource.Topics, req.Topic)); err != nil {
		return nil, err
	}
	t, err := p.s.broker.Topic(req.Topic)
	if err != nil {
		return nil, err
	}
	names, next, err := paginate(t.Subscriptions(), identity, req.PageSize, req.PageToken)
	if err != nil {
		return nil, err
	}
	return &pubsubpb.ListTopicSubscriptionsResponse{Subscriptions: names, NextPageToken: next}, nil
}

func (p *publisher) ListTopicSnapshots(_ context.Context, req *pubsubpb.ListTopicSnapshotsRequest) (*pubsubpb.ListTopicSnapshotsResponse, error) {
	if err := invalidName(resource.Check(resource.Topics, req.Topic)); err != nil {
		return nil, err
	}
	t, err := p.s.broker.Topic(req.Topic)
	if err != nil {
		return nil, err
	}
	names, next, err := paginate(t.Snapshots(), identity, req.PageSize, req.PageToken)
	if err != nil {
		return nil, err
	}
	return &pubsubpb.ListTopicSnapshotsResponse{Snapshots: names, NextPageToken: next}, nil
}

func (p *publisher) DetachSubscription(_ context.Context, req *pubsubpb.DetachSubscriptionRequest) (*pubsubpb.DetachSubscriptionResponse, error) {
	if err := invalidName(resource.Check(resource.Subscriptions, req.Subscription)); err != nil {
		return nil, err
	}
	return &pubsubpb.DetachSubscriptionResponse{}, p.s.broker.DetachSubscription(req.Subscription)
}

func identity(name string) string { return name }
