package pubsub

import (
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/airlock-run/airlock/emulator/internal/paging"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/resource"
)

// checkName refuses a malformed resource name with INVALID_ARGUMENT.
func checkName(kind resource.Kind, name string) error {
	if err := resource.Check(kind, name); err != nil {
		return invalid("%v", err)
	}
	return nil
}

func deleteResource(kind resource.Kind, name string, remove func(name string) error) (*emptypb.Empty, error) {
	if err := checkName(kind, name); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, remove(name)
}

// pageRequest is the part that all List requests have in common.
type pageRequest interface {
	GetPageSize() int32
	GetPageToken() string
}

type projectListRequest interface {
	pageRequest
	GetProject() string
}

type topicListRequest interface {
	pageRequest
	GetTopic() string
}

// listProject returns one page of a project's resources, which list returns sorted by name.
func listProject[T any](req projectListRequest, list func(project string) []T, name func(T) string) (items []T, next string, err error) {
	if err := resource.CheckProject(req.GetProject()); err != nil {
		return nil, "", invalid("%v", err)
	}
	return page(list(req.GetProject()), name, req)
}

func page[T any](items []T, name func(T) string, req pageRequest) ([]T, string, error) {
	size, err := paging.Size(req.GetPageSize(), maxPageSize)
	if err != nil {
		return nil, "", err
	}
	return paging.Page(items, name, size, req.GetPageToken())
}
