package history

// The rules that Check applies. A Violation names the rule that does not hold.
const (
	ruleDecodable     = "every stored document matches its domain type"
	ruleNothingLost   = "accepted work is stored"
	ruleNotDeleted    = "no document is deleted"
	ruleNotOverdue    = "no document stays overdue"
	ruleWait          = "no execution waits longer than the share of its tenant explains"
	ruleRequeued      = "what an interrupted executor held is queued again"
	ruleOwnResult     = "a result belongs to its execution"
	ruleObservedFinal = "an observed final state stays"
	ruleObservedKnown = "every observed execution is stored"

	ruleFinishes          = "every execution finishes"
	ruleFinalIsImmutable  = "a final state never changes"
	ruleFinalNotDue       = "a finished execution is not due"
	ruleAttemptNumbers    = "attempt numbers have no gap and no repetition"
	ruleFailedAttempts    = "failed attempts are counted, up to the maximum"
	ruleLeaseWhenRunning  = "an execution has a lease exactly while it runs"
	ruleOneAttempt        = "one attempt runs at a time"
	ruleQuietWhileRunning = "no time is written while an execution runs"
	ruleLeaseHolder       = "only the lease holder writes"
	ruleResultOrFailure   = "a finished execution has either a result or a failure"
	ruleReceipt           = "a result has a receipt"

	ruleBatchFinishes     = "every batch finishes"
	ruleBatchFinishesLast = "a batch finishes after its executions"
	ruleBatchComplete     = "a batch has one execution for each input"

	ruleOneExecution     = "a turn has one execution"
	ruleOneUserMessage   = "a turn has one message of the user"
	ruleOneReply         = "a turn has one reply"
	ruleReplyWithFinish  = "a reply is written with the final state"
	ruleOwnReply         = "a reply belongs to its turn"
	ruleReplyExecution   = "every reply has an execution"
	ruleTurnOrder        = "turns run in order"
	ruleTurnConversation = "every turn has a conversation"
	ruleTurnsFinish      = "every turn finishes"
)
