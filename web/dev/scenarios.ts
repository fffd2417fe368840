import type { Execution } from '../src/api/types.ts'
import type { Outcome, StandIn } from './standin.ts'
import { transcriptOf } from './transcriptSamples.ts'

const queuedMs = 1500
const runningMs = 4000

/**
 * Plays a scenario for an execution, which a word of its input selects: agent, json, html, fail, hang, stay queued,
 * coding, canceled, killed, endless.
 */
export function playScenario(execution: Execution, standIn: StandIn): void {
  const items = transcriptOf(execution.input)
  items.forEach((item, i) =>
    setTimeout(
      () => standIn.transcripts.add(execution.id, item),
      queuedMs + (runningMs * (i + 1)) / (items.length + 1),
    ),
  )
  if (!execution.input.includes('stay queued')) {
    setTimeout(() => standIn.start(execution.id), queuedMs)
    setTimeout(
      () => standIn.step(execution.id, 1, 'output', 'First I look around.'),
      queuedMs + runningMs / 2,
    )
    setTimeout(() => standIn.step(execution.id, 2, 'progress', 'uses Bash'), queuedMs + runningMs / 2)
  }
  if (!execution.input.includes('hang') && !execution.input.includes('stay queued')) {
    setTimeout(() => standIn.finish(execution.id, outcomeOf(execution.input)), queuedMs + runningMs)
  }
}

/** Fills an empty stand-in with sample data. */
export function addSampleData(standIn: StandIn): void {
  const post = (path: string, body: object) =>
    standIn.handle(new Request(`http://stand.in${path}`, { method: 'POST', body: JSON.stringify(body) }))
  standIn.onAccept = (execution) => {
    const items = transcriptOf(execution.input)
    standIn.start(execution.id, items.at(-1)?.attempt)
    standIn.transcripts.add(execution.id, ...items)
    standIn.finish(execution.id, outcomeOf(execution.input))
  }
  void (async () => {
    await post('/agents', {
      name: '회의록 요약기',
      description: '회의록을 세 줄로 요약합니다.',
      instructions: '입력은 회의록입니다.\n결정, 담당자, 기한을 세 줄로 요약하세요.',
    })
    await post('/agents/agt_0001/run', { input: '오늘 회의: 출시를 금요일로 미룸. json' })
    await post('/agents/agt_0001/run', { input: 'A long transcript whose run will fail' })
    await post('/agents/agt_0001/run', { input: 'A coding task' })
    await post('/agents/agt_0001/run', { input: 'A run that is canceled' })
    await post('/agents/agt_0001/run', { input: 'A run whose first attempt is killed' })
    await post('/agents/agt_0001/run', { input: 'An endless log' })
    await post('/api/conversation', { message: 'Hello! What can you do?' })
    await post('/api/conversation', { message: 'Show me that html is harmless' })
    await post('/api/conversation', { message: '회의록을 요약하는 agent 만들어 줘' })
    await post('/api/conversation', { message: 'fail, please', conversationId: 'con_0012' })
    standIn.onAccept = playScenario
    await post('/api/conversation', { message: 'hang', conversationId: 'con_0012' })
    await post('/api/conversation', { message: 'stay queued', conversationId: 'con_0012' })
  })()
}

function outcomeOf(input: string): Outcome {
  if (input.includes('canceled')) {
    return { status: 'canceled', error: { code: 'canceled', message: 'The execution was canceled.' } }
  }
  if (input.includes('fail')) {
    const error = {
      code: 'agent_error',
      message: 'The agent ended with an error: it has reached its turn limit.',
    }
    return { status: 'failed', error: error as { code: 'agent_error'; message: string } }
  }
  if (input.includes('json')) {
    return {
      result: { text: '세 줄 요약입니다.', output: { decision: '출시 금요일', owner: null, items: [1, 2] } },
    }
  }
  if (input.includes('html')) {
    return { result: { text: '<img src=x onerror="alert(1)">\n<b>not bold</b> & <script>alert(2)</script>' } }
  }
  if (input.includes('agent') || input.includes('에이전트')) {
    return {
      result: {
        text: '이런 에이전트를 제안합니다.\n만들려면 아래 단추를 누르세요.',
        agentDraft: {
          name: '세 줄 요약',
          description: '긴 회의록을 세 줄로 줄입니다.',
          instructions: '입력은 회의록입니다.\n\n1. 결정된 것\n2. 담당자\n3. 기한\n\n각각 한 줄로 쓰세요.',
        },
      },
    }
  }
  return {
    result: {
      text: 'Hello. I help to build agents: tell me what one should do with its input.\n\nFor example: “Sort support mails by urgency.”',
    },
  }
}
