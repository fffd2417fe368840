package pubsub

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/broker"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/resource"
)

// publisher implements the service Publisher.
type publisher struct {
	pubsubpb.UnimplementedPublisherServer
	s *Server
}

// findTopic returns the topic that a request names.
func (p *publisher) findTopic(name string) (*broker.Topic, error) {
	if err := checkName(resource.Topics, name); err != nil {
		return nil, err
	}
	return p.s.broker.Topic(name)
}

func (p *publisher) CreateTopic(_ context.Context, req *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	if err := checkName(resource.Topics, req.Name); err != nil {
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
	t, err := p.findTopic(req.Topic)
	if err != nil {
		return nil, err
	}
	return t.Config(), nil
}

func (p *publisher) UpdateTopic(_ context.Context, req *pubsubpb.UpdateTopicRequest) (*pubsubpb.Topic, error) {
	name := req.GetTopic().GetName()
	if err := checkName(resource.Topics, name); err != nil {
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
	return deleteResource(resource.Topics, req.Topic, p.s.broker.DeleteTopic)
}

func (p *publisher) ListTopics(_ context.Context, req *pubsubpb.ListTopicsRequest) (*pubsubpb.ListTopicsResponse, error) {
	topics, next, err := listProject(req, p.s.broker.ListTopics, (*pubsubpb.Topic).GetName)
	return &pubsubpb.ListTopicsResponse{Topics: topics, NextPageToken: next}, err
}

func (p *publisher) ListTopicSubscriptions(_ context.Context, req *pubsubpb.ListTopicSubscriptionsRequest) (*pubsubpb.ListTopicSubscriptionsResponse, error) {
	names, next, err := p.listOfTopic(req, (*broker.Topic).Subscriptions)
	return &pubsubpb.ListTopicSubscriptionsResponse{Subscriptions: names, NextPageToken: next}, err
}

func (p *publisher) ListTopicSnapshots(_ context.Context, req *pubsubpb.ListTopicSnapshotsRequest) (*pubsubpb.ListTopicSnapshotsResponse, error) {
	names, next, err := p.listOfTopic(req, (*broker.Topic).Snapshots)
	return &pubsubpb.ListTopicSnapshotsResponse{Snapshots: names, NextPageToken: next}, err
}

// listOfTopic returns one page of the names that belong to a topic.
func (p *publisher) listOfTopic(req topicListRequest, list func(*broker.Topic) []string) (names []string, next string, err error) {
	t, err := p.findTopic(req.GetTopic())
	if err != nil {
		return nil, "", err
	}
	return page(list(t), func(name string) string { return name }, req)
}

func (p *publisher) DetachSubscription(_ context.Context, req *pubsubpb.DetachSubscriptionRequest) (*pubsubpb.DetachSubscriptionResponse, error) {
	if err := checkName(resource.Subscriptions, req.Subscription); err != nil {
		return nil, err
	}
	return &pubsubpb.DetachSubscriptionResponse{}, p.s.broker.DetachSubscription(req.Subscription)
}
