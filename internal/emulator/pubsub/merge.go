package pubsub

import (
	"slices"

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

// merge sets the fields of dst that the mask names to what they are in src.
func merge(dst, src proto.Message, mask *fieldmaskpb.FieldMask, mutable []string) error {
	if len(mask.GetPaths()) == 0 {
		return invalid("The update_mask must be set, and must contain a non-empty paths list.")
	}
	d, s := dst.ProtoReflect(), src.ProtoReflect()
	for _, path := range mask.Paths {
		f := d.Descriptor().Fields().ByName(protoreflect.Name(path))
		if f == nil {
			return invalid("Invalid update_mask: %q is not a field of %s.", path, d.Descriptor().Name())
		}
		if !slices.Contains(mutable, path) {
			return invalid("Invalid update_mask: the field %q of %s is not mutable.", path, d.Descriptor().Name())
		}
		if s.Has(f) {
			d.Set(f, s.Get(f))
		} else {
			d.Clear(f)
		}
	}
	return nil
}
