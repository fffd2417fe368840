package pubsub

import (
	"context"
	"strings"
	"unicode/utf8"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

func (p *publisher) Publish(_ context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	t, err := p.findTopic(req.Topic)
	if err != nil {
		return nil, err
	}
	if err := checkPublish(req); err != nil {
		return nil, err
	}
	ids, err := t.Publish(req.Messages)
	if err != nil {
		return nil, err
	}
	return &pubsubpb.PublishResponse{MessageIds: ids}, nil
}

func checkPublish(req *pubsubpb.PublishRequest) error {
	switch n := len(req.Messages); {
	case n == 0:
		return invalid("The request has no messages.")
	case n > maxPublishMessages:
		return invalid("The value for message_count is too large. You passed %d in the request, but the maximum value is %d.", n, maxPublishMessages)
	}
	if n := proto.Size(req); n > maxPublishBytes {
		return invalid("The value for request_size is too large. You passed %d in the request, but the maximum value is %d.", n, maxPublishBytes)
	}
	key := req.Messages[0].OrderingKey
	for _, m := range req.Messages {
		if m.OrderingKey != key {
			return invalid("In a single publish request, all messages must have no ordering key or they must all have the same ordering key.")
		}
		if err := checkMessage(m); err != nil {
			return err
		}
	}
	return nil
}

func checkMessage(m *pubsubpb.PubsubMessage) error {
	switch {
	case len(m.Data) == 0 && len(m.Attributes) == 0:
		return invalid("One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute.")
	case len(m.OrderingKey) > maxOrderingKey:
		return invalid("The ordering key has %d bytes, more than %d.", len(m.OrderingKey), maxOrderingKey)
	case len(m.Attributes) > maxAttributes:
		return invalid("The message has %d attributes, more than %d.", len(m.Attributes), maxAttributes)
	}
	for k, v := range m.Attributes {
		switch {
		case k == "":
			return invalid("An attribute has an empty key.")
		case strings.HasPrefix(k, "goog"):
			return invalid("The attribute key %q begins with \"goog\".", k)
		case len(k) > maxAttributeKey:
			return invalid("An attribute key has %d bytes, more than %d.", len(k), maxAttributeKey)
		case len(v) > maxAttributeValue:
			return invalid("The attribute %q has %d bytes, more than %d.", k, len(v), maxAttributeValue)
		case !utf8.ValidString(k) || !utf8.ValidString(v):
			return invalid("An attribute is not valid UTF-8.")
		}
	}
	return nil
}
