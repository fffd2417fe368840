import { useQuery } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import { keys } from '../api/keys.ts'

// A turn's end is heard by following its execution. This finds what that missed: an end seen while the
// conversation could not be read.
const pendingRefetchMs = 15_000

export function useConversations() {
  return useQuery({
    queryKey: keys.conversations,
    queryFn: () => unwrap(api.GET('/api/conversations', { params: { query: { limit: 100 } } })),
    select: (list) => list.conversations,
  })
}

export function useConversation(id: string | undefined) {
  return useQuery({
    queryKey: keys.conversation(id ?? ''),
    queryFn: () =>
      unwrap(
        api.GET('/api/conversation/{id}', { params: { path: { id: id ?? '' }, query: { limit: 100 } } }),
      ),
    enabled: id !== undefined,
    refetchInterval: ({ state }) => (state.data?.pending.length ? pendingRefetchMs : false),
  })
}
