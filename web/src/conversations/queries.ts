import { useQuery } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import { keys } from '../api/keys.ts'

export function useConversations() {
  return useQuery({
    queryKey: keys.conversations,
    queryFn: () => unwrap(api.GET('/api/conversations')),
    select: (list) => list.conversations,
  })
}

export function useConversation(id: string | undefined) {
  return useQuery({
    queryKey: keys.conversation(id ?? ''),
    queryFn: () => unwrap(api.GET('/api/conversation/{id}', { params: { path: { id: id ?? '' } } })),
    enabled: id !== undefined,
  })
}
