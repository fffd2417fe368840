import { notifyManager, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { api, idempotencyKey, unwrap } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'
import type { AttachedFile } from '../attachments/useAttachments.ts'
import type { ConversationDetail } from '../api/types.ts'
import { navigate } from '../route/route.ts'
import { withAccepted } from './turns.ts'

/** A message that is being sent, or that the server rejected. */
export interface Outgoing {
  /** Also the idempotency key: a message that is sent again is accepted only once. */
  key: string
  text: string
  files?: AttachedFile[] | undefined
  /** The execution of the turn that this message retries. */
  retryOf?: string | undefined
  error?: Error
}

interface Props {
  /** Undefined for a new conversation. */
  conversationId?: string | undefined
  agentId?: string | undefined
}

/** Sends messages. Its entries are the messages that are being sent and those that failed. */
export function useOutbox({ conversationId, agentId }: Props) {
  const client = useQueryClient()
  const [entries, setEntries] = useState<Outgoing[]>([])
  const mounted = useRef(true)
  useEffect(() => {
    mounted.current = true
    return () => {
      mounted.current = false
    }
  }, [])

  function submit({ key, text, files = [], retryOf }: Outgoing) {
    const headers = { 'Idempotency-Key': key }
    if (retryOf !== undefined) {
      return unwrap(api.POST('/executions/{id}/retry', { params: { path: { id: retryOf } }, headers }))
    }
    const ids = {
      ...(conversationId !== undefined && { conversationId }),
      ...(agentId !== undefined && { agentId }),
      ...(files.length > 0 && { files: files.map(({ path, fileId }) => ({ path, fileId })) }),
    }
    return unwrap(api.POST('/api/conversation', { body: { message: text, ...ids }, headers }))
  }

  async function post(entry: Outgoing) {
    const accepted = await submit(entry)
    const { key, text, files } = entry
    const id = accepted.conversationId ?? conversationId
    if (id === undefined) {
      throw new Error('The server accepted the message without the ID of its conversation.')
    }
    await client.cancelQueries({ queryKey: queryKeys.conversation(id) })
    // One batch of updates, so that the message never shows twice, and never disappears.
    notifyManager.batch(() => {
      client.setQueryData<ConversationDetail>(queryKeys.conversation(id), (detail) =>
        withAccepted(detail, accepted, { text, files, agentId }, new Date().toISOString()),
      )
      if (conversationId !== undefined) {
        notifyManager.schedule(() => discard(key))
      }
    })
    void client.invalidateQueries({ queryKey: queryKeys.conversation(id) })
    void client.invalidateQueries({ queryKey: queryKeys.conversations })
    void client.invalidateQueries({ queryKey: queryKeys.executions })
    if (conversationId === undefined && mounted.current) {
      navigate({ page: 'conversation', id }) // unmounts this page and its outbox
    }
  }

  function dispatch(entry: Outgoing) {
    setEntries((all) => [...all.filter(({ key }) => key !== entry.key), entry])
    post(entry).catch((reason: unknown) => {
      const error = reason instanceof Error ? reason : new Error(String(reason))
      setEntries((all) => all.map((other) => (other.key === entry.key ? { ...other, error } : other)))
    })
  }

  function discard(key: string) {
    setEntries((all) => all.filter((entry) => entry.key !== key))
  }

  return {
    entries,
    busy: entries.some(({ error }) => error === undefined),
    send: (text: string, files: AttachedFile[]) => dispatch({ key: idempotencyKey(), text, files }),
    sendAgain: ({ key, text, files, retryOf }: Outgoing) => dispatch({ key, text, files, retryOf }),
    /** Runs a failed turn again as the newest one. The server repeats its stored message; text is what the page shows meanwhile. */
    retry: (executionId: string, text: string) =>
      dispatch({ key: idempotencyKey(), text, retryOf: executionId }),
    discard,
  }
}
