package pubsub

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/resource"
)

func (s *subscriber) CreateSnapshot(_ context.Context, req *pubsubpb.CreateSnapshotRequest) (*pubsubpb.Snapshot, error) {
	if err := checkName(resource.Subscriptions, req.Subscription); err != nil {
		return nil, err
	}
	name := req.Name
	if name == "" {
		name = resource.Project(req.Subscription) + "/snapshots/s" + uuid.NewString()
	}
	if err := checkName(resource.Snapshots, name); err != nil {
		return nil, err
	}
	if err := checkLabels(req.Labels); err != nil {
		return nil, err
	}
	return s.s.broker.CreateSnapshot(name, req.Subscription, req.Labels)
}

func (s *subscriber) GetSnapshot(_ context.Context, req *pubsubpb.GetSnapshotRequest) (*pubsubpb.Snapshot, error) {
	if err := checkName(resource.Snapshots, req.Snapshot); err != nil {
		return nil, err
	}
	return s.s.broker.Snapshot(req.Snapshot)
}

func (s *subscriber) ListSnapshots(_ context.Context, req *pubsubpb.ListSnapshotsRequest) (*pubsubpb.ListSnapshotsResponse, error) {
	snapshots, next, err := listProject(req, s.s.broker.ListSnapshots, (*pubsubpb.Snapshot).GetName)
	return &pubsubpb.ListSnapshotsResponse{Snapshots: snapshots, NextPageToken: next}, err
}

func (s *subscriber) UpdateSnapshot(_ context.Context, req *pubsubpb.UpdateSnapshotRequest) (*pubsubpb.Snapshot, error) {
	name := req.GetSnapshot().GetName()
	if err := checkName(resource.Snapshots, name); err != nil {
		return nil, err
	}
	return s.s.broker.UpdateSnapshot(name, func(n *pubsubpb.Snapshot) error {
		if err := applyUpdateMask(n, req.Snapshot, req.UpdateMask, snapshotFields); err != nil {
			return err
		}
		if !n.ExpireTime.IsValid() {
			return invalid("Invalid expire_time.")
		}
		return checkLabels(n.Labels)
	})
}

func (s *subscriber) DeleteSnapshot(_ context.Context, req *pubsubpb.DeleteSnapshotRequest) (*emptypb.Empty, error) {
	return deleteResource(resource.Snapshots, req.Snapshot, s.s.broker.DeleteSnapshot)
}

func (s *subscriber) Seek(_ context.Context, req *pubsubpb.SeekRequest) (*pubsubpb.SeekResponse, error) {
	sub, err := s.findSubscription(req.Subscription)
	if err != nil {
		return nil, err
	}
	switch target := req.Target.(type) {
	case *pubsubpb.SeekRequest_Time:
		if !target.Time.IsValid() {
			return nil, invalid("Invalid time to seek to.")
		}
		return &pubsubpb.SeekResponse{}, sub.SeekTime(target.Time.AsTime())
	case *pubsubpb.SeekRequest_Snapshot:
		if err := checkName(resource.Snapshots, target.Snapshot); err != nil {
			return nil, err
		}
		return &pubsubpb.SeekResponse{}, sub.SeekSnapshot(target.Snapshot)
	}
	return nil, invalid("The request has no target to seek to.")
}
