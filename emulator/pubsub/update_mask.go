package pubsub

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// The fields that an update may change.
var (
	topicFields = []string{
		"labels", "message_storage_policy", "message_retention_duration",
		"kms_key_name", "schema_settings", "ingestion_data_source_settings", "message_transforms",
	}
	subscriptionFields = []string{
		"labels", "ack_deadline_seconds", "retain_acked_messages", "message_retention_duration",
		"expiration_policy", "dead_letter_policy", "retry_policy", "enable_exactly_once_delivery",
		"push_config", "bigquery_config", "cloud_storage_config", "bigtable_config", "message_transforms",
	}
	snapshotFields = []string{"labels", "expire_time"}
)

// applyUpdateMask copies the fields that the mask names from src to dst. A path may lead into a field that is a
// message, such as "expiration_policy.ttl".
func applyUpdateMask(dst, src proto.Message, mask *fieldmaskpb.FieldMask, mutable []string) error {
	if len(mask.GetPaths()) == 0 {
		return invalid("The update_mask must be set, and must contain a non-empty paths list.")
	}
	d, s := dst.ProtoReflect(), src.ProtoReflect()
	for _, path := range mask.Paths {
		if !(&fieldmaskpb.FieldMask{Paths: []string{path}}).IsValid(dst) {
			return invalid("Invalid update_mask: %q is not a field of %s.", path, d.Descriptor().Name())
		}
		segments := strings.Split(path, ".")
		if !slices.Contains(mutable, segments[0]) {
			return invalid("Invalid update_mask: the field %q of %s is not mutable.", path, d.Descriptor().Name())
		}
		mergeField(d, s, segments)
	}
	return nil
}

// mergeField copies the field at a path that is valid for both messages.
func mergeField(dst, src protoreflect.Message, segments []string) {
	f := dst.Descriptor().Fields().ByName(protoreflect.Name(segments[0]))
	switch {
	case len(segments) > 1:
		if dst.Has(f) || src.Has(f) {
			mergeField(dst.Mutable(f).Message(), src.Get(f).Message(), segments[1:])
		}
	case src.Has(f):
		dst.Set(f, src.Get(f))
	default:
		dst.Clear(f)
	}
}
