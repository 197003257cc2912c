"""What is right to say in one sort of ticket: commitment, true facts, next steps, and what may be denied.

Written in the notation of `ticket_audit_phrases`. `commit` is the one rule that a right reply must use;
`woeful` are facts that take a commitment back if they follow it ("a new one is sent; the carrier lost it").
"""

from __future__ import annotations

from stateset.rl.verifiers import ticket_audit_commitments as commitments

# What may be denied, where it is neither right nor allowed: nouns, verbs, participles.
_DENIABLE = {
    "refund": (
        "[full] refund | money back | cash [back] | [full] reimbursement | refunds | money",
        "refund | reimburse | repay | pay back | give you your money back | return your money",
        "refunded | reimbursed | repaid | paid back",
    ),
    "replacement": (
        "replacement [ITEM] | exchange | swap | new one | new ITEM | second one | substitute | new item",
        "replace | exchange | swap | send (a | another) (new | second | replacement) (one | ITEM | item)",
        "replaced | exchanged | swapped",
    ),
    "store_credit": ("(store | shop) credit", "give store credit", "credited"),
    "trace": (
        "[further | new | second] (trace | search) | investigation",
        "search again | trace it again",
        "traced again",
    ),
    "cancel": (
        "cancellation",
        "cancel | stop | recall | call back",
        "cancelled | canceled | stopped | recalled | called off",
    ),
    "repair": ("repair", "repair | fix", "repaired | fixed"),
}

DENIALS = """
deny: [there (is | are | will be) | with | for | it is] no <no.noun> [nor <no.noun>] [<no.where>] | no
    <no.noun> (is | are | will be | can be) [<adv>] (possible | given | available | offered | paid | sent |
    due | made | provided | opened | started | foreseen) [<no.where>] [<no.where>] | <no.thing> (is | are)
    [unfortunately] (not | no longer | off the table | out of the question | ruled out | impossible)
    [possible | available | an option | offered | given | allowed | foreseen | paid] [<no.where>]
    [<no.where>] | <no.thing> (must | has to | have to) wait until the (trace | search) is (finished | done
    | closed | over) | <agent> [unfortunately] <no.can> [simply] <no.verb> [<thing> | <order> | you]
    [<no.where>] [<no.where>] | <agent> [can] neither <no.verb> nor <no.verb> [<thing> | <order>] | (<thing>
    | <order> | shipped orders) [unfortunately] (cannot | can no longer | will not) be <no.pp> [<no.where>]
    [<no.where>] | and (cannot | can no longer) be <no.pp> [<no.where>] | cannot <no.verb> <order>
    [<no.where>] | it is [now | unfortunately] too late (for <no.thing> | to <no.verb> [<thing> | <order>])
    [<no.where>] | (instead of | rather than | not | in place of) <no.thing> | this shop does not <no.verb>
    | your <no.noun> request [was | is] (declined | not possible) | <no.thing> cannot be (granted | given |
    paid | offered) [<no.where>]
no.thing: [a | the | any | your | another] <no.noun>
no.can: cannot | can no longer | do not | will not | are unable to | am unable to | are not able to | am not
    able to | never
"""


def denied(owed: set[str]) -> dict[str, str]:
    """The words of `DENIALS`: what is denied is not owed, so that nothing is taken back."""
    free = [forms for act, forms in _DENIABLE.items() if act not in owed]
    names = ("no.noun", "no.verb", "no.pp")
    return {name: " | ".join(forms[i] for forms in free) for i, name in enumerate(names)}


SHARED = """
no.where: (for | on | of | under) (<order> | <thing> | breakage | this | that | shipped orders) | any more |
    any longer | anymore | at this point | in this case | here | now | at the moment | right now | yet |
    again | meanwhile | until then | under our policy | today | (while | as long as) (the (trace | search) |
    it) (is (running | open | under way) | runs | lasts) | until the (trace | search) is (finished | done |
    closed | over) | during the (trace | search) | once it has shipped | from our side | in time
fact: <never>
next: <never>
woeful: <never>
never: NEVER
back.never: NEVER
back.when: the return of <thing> | (once | when | as soon as | after) (<thing> | <parcel>) (is (back [with
    us] | here) | arrives [here | back] | reaches us | returns [to us] | has (arrived [back] | come back |
    reached us | returned)) | (once | when | as soon as | after) (we | it | you | the return) (receive it |
    have <thing> back | receive <thing> | get it back | return it | send it back | have received it |
    arrives | is back) | (upon | on | after) (arrival | return | its (return | arrival)) | once back | then
    | if you (return | send back) (<thing> | <parcel>) [to us] | if you send <thing> back [to us]
label: [a | the | your | our | this] [free | attached | enclosed | prepaid]* (return | shipping | prepaid |
    return shipping | prepaid return | prepaid shipping | free return) label [for <thing> | for the wrong
    (one | article | item | ITEM)] | [a | the | your] [free | attached | enclosed | prepaid] label [for the
    wrong (one | article | item | ITEM)]
backwith: (send | post | return | mail | ship | bring) (<thing> | <parcel> | the wrong (one | article |
    item)) [back | back to us | to us] (with | using) <label> [i [have] (attached | emailed [you] | sent
    [you])]
label.too: <label> (is | has been) [also] (attached | enclosed | included | emailed [to you] | in your inbox
    | on its way [to you]) [to this message | to this email | for you] | <label> attached | [please | just |
    simply] [use | print] <label> [i [have] (attached | emailed [you] | sent [you])] [to (send | post |
    return | ship | mail) (<thing> | <parcel> | the wrong (one | article | item)) [back | back to us | to
    us]] | [please | just | simply] <backwith> | you can return (<thing> | the wrong (item | one | article))
    (with | using) <label> | (i | we) <email.do> [you] <label> [<hand>] [to return <thing>] | with <label> |
    (i | we) (am | are) attaching <label> | use <label> for the wrong (one | item | article)
you.get: you [<adv>] (get | receive | will <adv>* (get | receive | have | see) | are <adv>* (getting |
    receiving | given | sent) | are going to (get | receive) | have [<adv>] received)
going: (goes | go | comes | is going | is coming | is heading | is headed | is travelling | travels | is
    [now] on its way | are on their way | is on the way | heads | returns | is moving | will go | will come
    | will be | is | lands | will land | went | flows | will return | will be on its way | are going | has
    gone | is being sent | is sent)
refund.np: [a | the | your | our] [prompt] [full | complete | total | 100 percent] (refund | reimbursement)
    [of (<money> | <extra> | AMOUNT)] [for (<thing> | <order> | <money> | <extra>)] [<ofme>]
extra: [the | your | that] (second | duplicate | extra | double | additional | surplus | superfluous |
    unjustified) (charge | payment | debit | amount | booking | AMOUNT | one) [of the two payments] [of
    AMOUNT] [<ofme>] | the payment taken twice [<ofme>] | the second of the two (payments | charges)
    [<ofme>] | the (overcharge | duplicate | AMOUNT (too much | charged twice))
twice: (duplicate | double | second) (charge | payment | debit | booking)
"""

_REFUND = """
credit.do: [<adv>] (have [<adv>] credited | credited | will [<adv>] credit | am crediting | are crediting |
    credit)
have.do: [<adv>] have [<adv>]
r.mod: <about> | for the (lost | broken | damaged | missing) (parcel | item | ITEM) | <card> | <soon> | in
    (full | all) | <money> | AMOUNT | back | to you | [amount] AMOUNT | back <card> | namely AMOUNT | in
    full | the whole AMOUNT | which (comes to | is | was) AMOUNT | <backwhen> | as a [full | complete]
    refund | with no deductions | for <extra> | with immediate effect
commit: <agent> <credit.do> your (card | bank account | account <used>) [with] <money> <r.mod>* | your (card
    | bank account) (has been | will be | is | was) [<adv>] credited [with] (<money> | AMOUNT) <r.mod>* |
    <agent> <have.do> <refund.np> on its way [to you] <r.mod>* | (a | the | your) [full] refund is [<adv>]
    [already] (on its way | under way | done | in progress) <r.mod>* | you can expect (<refund.np> |
    (<money> | your money) back) <r.mod>* | (<money> | your money) (is | will be) [<adv>] (back | yours
    again) <r.mod>* | <agent> have [<adv>] made sure [that] you get (<money> | your money) back <r.mod>* |
    <agent> <refund.do> it [all] <r.mod>* | <agent> <refund.do> [you] [for | with] (<money> | <thing> |
    <extra> | <order>) <r.mod>* | <agent> <refund.do> you <r.mod>* | <agent> <payback.do> [you] [back]
    (<money> | <extra>) (back | <card> | to you) <r.mod>* | <agent> <payback.do> [you] back (<money> |
    <extra>) <r.mod>* | <agent> <payback.do> you [back] (<money> | your money back) back <r.mod>* | <agent>
    <payback.do> you your money back <r.mod>* | <agent> <reverse.do> <extra> <r.mod>* | <agent> <issue.do>
    [you | for you] <refund.np> <r.mod>* | <agent> <issue.do> [through] <refund.np> <r.mod>* | (<money> |
    <thing> | <extra> | <order>) [<about>] [AMOUNT] <refund.done> <r.mod>* | (<money> | <extra>)
    <payback.done> (back | <card> | to you) <r.mod>* | (<money> | <extra> | <thing>) <reverse.done> <r.mod>*
    | <refund.np> [<about>] [AMOUNT] <issue.done> <r.mod>* | <you.get> <refund.np> <r.mod>* | <you.get>
    (<money> | your money | <extra>) [back | refunded] <r.mod>* | <you.get> (<money> | your money | all your
    money | the money | <extra>) (back | refunded) <r.mod>* | you (are [<adv>] (refunded | reimbursed) |
    will [<adv>] be (refunded | reimbursed) | have been (refunded | reimbursed)) <r.mod>* | (<money> | your
    money | <extra> | what you paid [in] [<order>] [AMOUNT] | <refund.np>) [<about>] [AMOUNT] <going> (back
    | <card> | back <card> | to you | on its way (back | <card> | to you)) <r.mod>* | <refund.np> [AMOUNT]
    <going> [<card>] <r.mod>* | what you paid [<about>] [AMOUNT] returns to you as <refund.np> | [so | just]
    (<refund.pp> | <refund.ing>) (<money> | <thing> | <extra> | <order>) <r.mod>* | refund [of <money>]
    [<about>] (approved | confirmed | issued | sent | processed | done | booked) [amount] [AMOUNT] [sent |
    issued] <r.mod>* | <twice> confirmed AMOUNT refunded <r.mod>* | (AMOUNT | <extra>) [is] refunded
    <r.mod>* | <labels> and [<order>] [is] refunded <r.mod>* | [<labels>] refund of AMOUNT follows <r.mod>*
    | [print <label>] <backwith> and <agent> <refund.do> [you] (<money> | AMOUNT | <thing> | <order>) |
    print <label> send <thing> back and <agent> <refund.do> [you] (<money> | AMOUNT | it) | [<order>]
    refunded | your refund [<about>] [AMOUNT] follows <r.mod>* | your refund [<about>] [AMOUNT] follows
    <backwhen> | <order> [is] refunded <r.mod>* | AMOUNT [goes | is | is on its way] back <card> <r.mod>* |
    <about> <you.get> <refund.np> <r.mod>*
next: <r.mod> | <labels> | <backwhen> | no need to (send | return) (<thing> | anything) back | it [goes |
    will go | is going] (back | <card>) <r.mod>* | the money [<going>] <card> | the refund [<going>] <card>
    | <back.return> | your bank shows it shortly | (it | the (money | refund)) should (appear | show |
    arrive) (shortly | soon) | [sent | issued] <card> | and goes to the card you paid with
woeful: (the carrier | the courier) (could not find <parcel> | has lost <parcel> | lost <parcel> | gave up
    the search | has given up the search | has declared <parcel> lost | [has] confirmed the loss | confirmed
    <parcel> is lost) | the (courier's | carrier's) (trace | search) (ended without success | is over)
fact: you (were | have been) [indeed] (charged | billed) twice [by (mistake | accident) | in error] |
    <order> should [only] be paid [only] once | (it | <thing> | <order> | you) (is | are) [still] (inside |
    within) (the return window | the FIGURE | our return window | FIGURE) | <order> was [indeed] (charged |
    billed) twice | the (return window | window) is [still] open | [the | a] <twice> confirmed
back.return: [please | just | simply] <backwith>
"""

_STORE_CREDIT = """
sc: [a | the | your | our] [full] [AMOUNT | full | worth] [of | in | as] (store | shop | customer) credit
    [of (AMOUNT | <money>)] [worth AMOUNT] [for (<money> | <thing> | <order> | the full value [<ofme>])] |
    <money> (in | of | as) (store | shop) credit
sc.mod: <about> | <soon> | AMOUNT | worth AMOUNT | instead | to you | for you | in full | (to | on | in |
    onto | into) [your | the] (account [at SHOP] | customer account | shop account | store account) | (which
    | that) you can (use | spend) on anything we sell | to (spend | use) at SHOP | (for | at) SHOP | as <sc>
    | for (the full (value | price | amount) | <thing>) | which (is | comes to | was) AMOUNT | namely AMOUNT
    | [that] (you can | to) (use | spend) [it] (any time | on anything | on anything you like | on anything
    we sell | in our (shop | store)) | in its place
commit: <agent> (credit | have [<adv>] credited | will credit | are crediting) your account [at SHOP] with
    AMOUNT to spend (at SHOP | in our (shop | store)) | your account [at SHOP] [now] (holds | shows | has |
    carries | contains) <sc> <sc.mod>* | <agent> [have] [<adv>] (topped up | credited) your account [at
    SHOP] with <sc> <sc.mod>* | you [now] (have | hold) <sc> <sc.mod>* | (you will find | you can find) <sc>
    <sc.mod>* | it (becomes | is turned into | turns into) <sc> <sc.mod>* | <agent> <give.do> [you | for you
    | to you] [with] <sc> <sc.mod>* | (i | we) can (offer | give) [you] <sc> <sc.mod>* | <agent> <give.do>
    [you] <money> (as | in) (store | shop) credit <sc.mod>* | <agent> <turn.do> (<money> | <order> |
    <thing>) [<about>] (into | to) <sc> <sc.mod>* | <you.get> <sc> <sc.mod>* | <you.get> <money> (as | in)
    [store | shop] credit <sc.mod>* | <sc> <give.done> <sc.mod>* | <sc> [is | has been | was] (issued |
    added | booked) <sc.mod>* | (<money> | AMOUNT | its [full] value) [<about>] (<give.done> | <turn.done>)
    [available] (as | into | to) <sc> <sc.mod>* | <money> [<about>] is [now] available [to you] as store
    credit <sc.mod>* | (its [full] value | <money>) [<about>] becomes <sc> <sc.mod>* | <sc> (sits | is |
    waits | is waiting | is available | is ready | will be) [<adv>] (in | on) your account <sc.mod>* | your
    account [at SHOP] (has been | was | is) (topped up | credited) with <sc> <sc.mod>* | what we offer
    <sc.mod>* is <sc> <sc.mod>* | it is store credit <sc.mod>* | [just] put <sc> <sc.mod>* | which means
    <sc> [rather than a refund] | <sc> matching <order> <give.done> <sc.mod>* | <agent> offer you <money> as
    store credit <sc.mod>* | its full value is given as store credit | the AMOUNT [<ofme>] is [now]
    available to you as store credit | <sc> attached to your account
next: <labels> | <sc.mod> | AMOUNT is on your account | you can (use | spend) it (on anything [we sell | you
    like] | at SHOP | in our (shop | store) | any time | whenever you like) | it (sits | is) [<adv>] (in |
    on) your account | enjoy | it is [<adv>] (in | on) your account
fact: [the | our | your] [return] (window | period) [for (<order> | <thing>) | of FIGURE] (has | is | had)
    [now | already | been]* (passed | closed | ended | over | past | expired) | [<order> | <thing> | you |
    this | it] (is | are | was) [already | now] (past | outside | beyond) (the [return] (window | period |
    FIGURE) | our [return] (window | period) | FIGURE) | outside the return window | more than FIGURE have
    passed [since delivery] | the FIGURE (are | have) (over | passed | up) | returns after FIGURE earn store
    credit | <order> can no longer be refunded | window is over [for <order>]
"""

ANSWERS = """
an.lead: at SHOP | from the day of delivery | after (delivery | purchase) | as a rule | in general | with us
    | by our policy
an.tail: after (delivery | purchase | [the | your] parcel (arrives | has arrived) | it arrives | ordering |
    arrival | you (receive it | received it) | the purchase) | from (delivery | purchase | the day of
    (delivery | purchase)) | of (delivery | purchase) | counted from (delivery | purchase) | (from | of |
    after) (the day it arrives | the date of delivery) | at SHOP | with us | as a rule | starting (at | from
    | with) delivery | NAME
an.back: after (delivery | [the | your] parcel (arrives | has arrived) | it (arrives | arrived) | arrival |
    you (receive it | received it)) | from (delivery | the day of delivery) | of delivery | counted from
    delivery | (from | of | after) (the day it arrives | the date of delivery) | at SHOP | with us | as a
    rule | starting (at | from | with) delivery | NAME
any.good: all our ITEM | (one | an | any | your | the | a | our | each | every | every one of our | each of
    our) (item | purchase | product | ITEM) [that we sell | we sell | from SHOP] | it | this | items |
    products | returns | purchases | something | all [our] (items | products) | everything [here] | our
    (products | items) | things | them | returns of <thing> | ITEM | all
any.parcel: (one | an | any | your | the | a | our | each | every | every one of our | each of our) (item |
    purchase | product | order | parcel | ITEM | delivery) [that we sell | we sell | from SHOP] | it | this
    | [all] [our] (items | products | orders | parcels | purchases | deliveries)
any.card: (one | any | your | the | a | our | each | every | every one of our | each of our | this) (gift
    card | ITEM | card | gift card code) [that we sell | we sell | from SHOP] | it | [all] [our] gift cards
    [from SHOP] | them
an.max: [for] [up to | a maximum of | no more than | at most | not more than] | within | at most | no longer
    than | inside
answer.return_window: we (take | accept) <any.good> back for [up to] FIGURE [<an.back>] | you have [got]
    FIGURE [<an.back>] to (change your mind | decide | send it back | return it) [<an.back>] | <any.good>
    (may | can) be (sent back | returned | brought back | handed back) (<an.max>) FIGURE [<an.back>]
    [<an.back>] | [the | our] ([return] window | return period | period for returns | time for returns |
    returns period | returns window) (is | lasts | runs for | runs | stays open for) [<an.max>] FIGURE
    [long] [<an.back>] [<an.back>] | [after delivery | at SHOP | here] you (can | may) (return | send back |
    send) (<any.good> | <thing>) [back] [to us] [(<an.max>)] FIGURE [<an.back>] [<an.back>] | (returns |
    they | items) are (accepted | open | possible | fine | allowed) (<an.max>) FIGURE [<an.back>]
    [<an.back>] | [<an.lead>] you (have [got] | get) [up to] FIGURE [<an.back>] [for (returns | a return |
    that)] [to (return | send) (<any.good> | <thing>) [back]] [<an.back>] | we (take | accept) (<any.good>)
    [back] (<an.max>) FIGURE [<an.back>] [<an.back>] | it is FIGURE for returns [<an.back>] | we refund
    returns (<an.max>) FIGURE [<an.back>] | [from the day of delivery] returns are (open | accepted |
    possible) (<an.max>) FIGURE | within FIGURE [<an.back>] you (can | may) (return | send back) <any.good>
    | its FIGURE for returns [<an.back>] | <any.good> (may | can) (go | come) back (<an.max>) FIGURE
    [<an.back>] | FIGURE [<an.back>] is [the | our] return window | FIGURE [<an.back>] | our return policy
    gives you FIGURE [<an.back>]
answer.warranty_length: there is [a] FIGURE [of] (warranty | guarantee) [on <any.good>] [<an.tail>] | [our |
    the] (warranty | guarantee) (on | for) <any.good> (is | lasts | runs for) FIGURE [<an.tail>] | we
    (repair | fix) (defects | <any.good>) [free of charge | for free] for FIGURE [<an.tail>] | [the | our |
    your] (warranty | guarantee | warranty period) [on <any.good> | for <any.good>] (is | lasts | runs for |
    runs | covers <any.good> for | holds for | is valid for) [for | up to] FIGURE [long] [<an.tail>] [on
    <any.good> [here] | for <any.good>] [<an.tail>] | <any.good> (is | are | comes | come | remains | stays)
    [protected | covered] [under | by | with] [a | the | our] (warranty | guarantee) (of | for) FIGURE
    [<an.tail>] | you are covered [by (our | the | a) (warranty | guarantee)] for FIGURE [<an.tail>] | we
    (give | offer | grant) [you | a] FIGURE of (warranty | guarantee) [on <any.good>] [<an.tail>] | we (give
    | offer) [a | you a] (warranty | guarantee) of FIGURE [on <any.good>] [<an.tail>] | you (have | get) [a]
    (FIGURE of warranty | FIGURE warranty | warranty of FIGURE) [on <any.good>] [<an.tail>] | for FIGURE
    [<an.tail>] (<any.good> | you) (remains | is | are | stays) (under warranty | covered [by our warranty])
    | <any.good> (is | are | stays | remains) (covered | protected | under warranty | under guarantee) for
    FIGURE [<an.tail>] | it is FIGURE of warranty | (there is | it has | it carries | it comes with |
    <any.good> carries | <any.good> has) [a] (FIGURE warranty | FIGURE of warranty | warranty of FIGURE)
    [<an.tail>] | <any.good> (comes | come) with [a] FIGURE [of] warranty | <any.good> (has | have | carries
    | carry) [a] FIGURE [of] warranty | FIGURE [<an.tail>] | your warranty ends FIGURE after (<order> |
    delivery | purchase) | (the | our) warranty covers <any.good> for FIGURE
an.dmax: [usually | normally | generally | typically] [up to | within | at most | no more than | in | not
    more than | at the most | a maximum of | inside]
answer.delivery_time: (it | <any.parcel> | your parcel | your order) will (be there | be with you | arrive |
    reach you | take) <an.dmax> FIGURE [or less | at most | at the most] [<an.tail>] | <any.parcel> (is |
    are) [usually | normally] (there | with you | at your door) <an.dmax> FIGURE [or less | at most | at the
    most] [<an.tail>] | [our | the | your | usual | normal]* (delivery | shipping | deliveries) [time]
    [usually | normally | generally | typically] (takes | is | are | needs | need | lasts | takes you)
    <an.dmax> FIGURE [at most | or less | or fewer | at the most | tops | as a rule] [<an.tail>] |
    <any.parcel> [usually | normally | generally | typically] (arrives | arrive | reach you | reaches you |
    takes | take | need | needs | is delivered | are delivered | is [generally | usually] delivered | come |
    comes | get to you | gets to you) <an.dmax> FIGURE [or less | at most | as a rule | at the most | tops]
    [to (reach you | arrive | get to you)] [<an.tail>] | [at SHOP] it (is | takes) <an.dmax> FIGURE [at
    most] [until <any.parcel> arrives] [<an.tail>] | we deliver <an.dmax> FIGURE [as a rule] | [please]
    allow [up to] FIGURE for (<any.parcel> | delivery) [to (reach you | arrive)] | the (usual | normal)
    delivery time is <an.dmax> FIGURE [or less] | within FIGURE [of ordering] <any.parcel> [normally |
    usually] (arrive | arrives | reach you | reaches you) | you (wait | will wait) (<an.dmax>) FIGURE [at
    most] [for <any.parcel>] | <an.dmax> FIGURE at most | <an.dmax> FIGURE [from us to your door]
    [<an.tail>] | your order would let me see <an.dmax> FIGURE from us to your door | [please] expect
    <any.parcel> within FIGURE
answer.card_validity: you (can | may) (spend | use | redeem) (<any.card> | the card | your card) (for |
    within) FIGURE [<an.tail>] | (the card | it | your card) (is | stays) (good | valid | usable) for FIGURE
    [<an.tail>] | <any.card> (is | are | stays | stay | remains | remain) valid (for | within) FIGURE
    [<an.tail>] | <any.card> (can | may) be (used | redeemed | spent) (for [up to] | within | up to) FIGURE
    [<an.tail>] | [<an.lead>] you have FIGURE [<an.tail>] to (spend | use | redeem) <any.card> [with us] |
    <any.card> [from SHOP] (expire | expires | run out | runs out | ends | end) after FIGURE | <any.card>
    (keep | keeps) (its | their) value for FIGURE | <any.card> (last | lasts | run for | runs for | work for
    | works for | hold for | holds for) FIGURE [<an.tail>] | [the | our] validity [of <any.card>] is FIGURE
    | within FIGURE [of purchase] <any.card> (can | may) be (spent | used | redeemed) | for FIGURE
    [<an.tail>] <any.card> (can | may) be (spent | used | redeemed) | it is FIGURE [<an.tail>] | FIGURE
    [<an.tail>]
fact: we cannot promise (a | any) [delivery | certain | fixed] (date | day) | (a | the | no) (exact |
    certain) (date | day) cannot be promised | i cannot promise (a | any) (date | day) | no date can be
    promised | then they run out | from delivery | <an.lead> | counted from (delivery | purchase)
next: <never>
"""

ROLES = {
    "refund": _REFUND, "store_credit": _STORE_CREDIT, "replacement": commitments.REPLACEMENT,
    "trace": commitments.TRACE, "return_label": commitments.RETURN_LABEL, "cancel": commitments.CANCEL,
    "repair": commitments.REPAIR, "new_code": commitments.NEW_CODE, "escalate": commitments.ESCALATE,
}  # fmt: skip
