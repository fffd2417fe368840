import { useQuery } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'

// The page learns that a turn has finished by following its execution. This interval covers the case that the
// conversation could not be read at that moment.
const pendingRefetchMs = 15_000

export function useConversations() {
  return useQuery({
    queryKey: queryKeys.conversations,
    queryFn: () => unwrap(api.GET('/api/conversations', { params: { query: { limit: 100 } } })),
    select: (list) => list.conversations,
  })
}

export function useConversation(id: string | undefined) {
  return useQuery({
    queryKey: queryKeys.conversation(id ?? ''),
    queryFn: () =>
      unwrap(
        api.GET('/api/conversation/{id}', { params: { path: { id: id ?? '' }, query: { limit: 100 } } }),
      ),
    enabled: id !== undefined,
    refetchInterval: ({ state }) => (state.data?.pending.length ? pendingRefetchMs : false),
  })
}
