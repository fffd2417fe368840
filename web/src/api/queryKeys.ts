/** The keys of the query cache. */
export const queryKeys = {
  conversations: ['conversations'] as const,
  conversation: (id: string) => ['conversation', id] as const,
  agents: ['agents'] as const,
  agent: (id: string) => ['agent', id] as const,
  batches: ['batches'] as const,
  batch: (id: string) => ['batch', id] as const,
  executions: ['executions'] as const,
  execution: (id: string) => ['execution', id] as const,
}
