package pubsub

import "time"

// The limits of the service, as documented for the cloud
// (https://cloud.google.com/pubsub/quotas#resource_limits).
const (
	maxPublishBytes    = 10 << 20 // of one request, and so of one message
	maxPublishMessages = 1000
	maxAttributes      = 100
	maxAttributeKey    = 256  // bytes
	maxAttributeValue  = 1024 // bytes
	maxOrderingKey     = 1024 // bytes
	maxPageSize        = 1000
	maxPullMessages    = 1000

	minAckDeadline      = 10 // seconds; also the default
	maxAckDeadline      = 600
	minRetention        = 10 * time.Minute
	maxRetention        = 31 * 24 * time.Hour
	defaultRetention    = 7 * 24 * time.Hour
	defaultExpiration   = 31 * 24 * time.Hour
	minExpiration       = 24 * time.Hour
	defaultMinBackoff   = 10 * time.Second
	defaultMaxBackoff   = 600 * time.Second
	minDeliveryAttempts = 5 // also the default
	maxDeliveryAttempts = 100
	pullTimeout         = 20 * time.Second // of a Pull without messages
	maxLabels           = 64
	streamBatchSize     = 100 // messages of one StreamingPullResponse
)
