/** Says why nobody can send messages to an agent. */
export function NoConversations({ runtime }: { runtime: string }) {
  return (
    <p className="text-sm text-muted">
      This agent takes part in no conversation: its runtime {runtime} does not pass earlier messages on.
    </p>
  )
}
